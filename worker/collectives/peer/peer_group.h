// Exchanges between ranks whose cards access each other's memory: one launch for a sum or an exchange,
// without a communicator and without the host (kernels/api/peers.h), so that recordings can contain them. A
// communicator sets the group up and makes the exchanges that are too large for it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/api/kernel_set.h"
#include "sizing/peer_places.h"
#include "worker/collectives/communicator.h"
#include "worker/device/device.h"

namespace deeprack::worker {

using sizing::PeerPlaces;

// A rank's memory that its peers access. It stays over epochs, because peers of an earlier epoch may still
// access it.
class PeerArea {
 public:
  // Takes sizing::PeerAreaBytes of the card's memory. The device must outlive the area. Errors are those of
  // the device; Unimplemented: ranks cannot share memory.
  static absl::StatusOr<PeerArea> Create(Device& device, const PeerPlaces& places);

  int64_t bytes() const { return memory_.bytes(); }

 private:
  friend class PeerGroup;
  PeerArea(Memory memory, Memory missing, const PeerPlaces& places)
      : memory_(std::move(memory)), missing_(std::move(missing)), places_(places) {}

  Memory memory_;   // flags, call numbers, the area
  Memory missing_;  // pinned, one uint32: PeerMemory::missing
  PeerPlaces places_;
};

// A rank's areas: `sums` for sums over its tp group, `exchanges` for exchanges over its stage.
struct PeerAreas {
  std::optional<PeerArea> sums, exchanges;

  int64_t bytes() const {
    return (sums.has_value() ? sums->bytes() : 0) + (exchanges.has_value() ? exchanges->bytes() : 0);
  }
};

class PeerGroup {
 public:
  // Collective over `group`, which has at most kernels::kMaxPeers ranks. No work may be queued on any rank's
  // device. `area` is null on a rank without an area. FailedPrecondition on all ranks: some rank cannot
  // access the memory of another; the message has the rank and its reason. Other errors are those of the
  // communicator. All arguments must outlive the group.
  static absl::StatusOr<std::unique_ptr<PeerGroup>> Create(Communicator& group, Device& device,
                                                           PeerArea* area);

  // Argument of the kernels in kernels/api/peers.h. All calls of one group must be sums, or all must be
  // exchanges.
  const kernels::PeerMemory& memory() const { return memory_; }

  // Call after the device has been synchronized. DeadlineExceeded: a rank did not come in time, and results
  // since then are wrong.
  absl::Status Check() const;
  // Call when the epoch is over: until the area is used in a new group, no exchange waits for a peer.
  void Release();

 private:
  PeerGroup(Device& device, absl::Duration timeout) : device_(device), timeout_(timeout) {}

  Device& device_;
  const absl::Duration timeout_;
  std::vector<Memory> opened_;
  kernels::PeerMemory memory_;
};

}  // namespace deeprack::worker
