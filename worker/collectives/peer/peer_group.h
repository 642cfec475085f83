// Ranks whose cards reach each other's memory: sums and exchanges in one launch, without a communicator and
// without the host (kernels/api/peers.h), so that recordings hold them. Beside a communicator, which makes
// the acquaintance and takes what does not fit.
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

// A rank's own memory for its peers, which stays over epochs: nobody need take memory that peers may still
// look at.
class PeerArea {
 public:
  // Takes sizing::PeerAreaBytes of the card's memory. The device outlives it. Errors are the device's:
  // Unimplemented where ranks share no memory.
  static absl::StatusOr<PeerArea> Create(Device& device, const PeerPlaces& places);

  int64_t bytes() const { return memory_.bytes(); }

 private:
  friend class PeerGroup;
  PeerArea(Memory memory, Memory missing, const PeerPlaces& places)
      : memory_(std::move(memory)), missing_(std::move(missing)), places_(places) {}

  Memory memory_;   // flags, call numbers, the area
  Memory missing_;  // pinned: one word
  PeerPlaces places_;
};

// A rank's areas: of sums over its tp group, of exchanges over its stage.
struct PeerAreas {
  std::optional<PeerArea> sums, exchanges;

  int64_t bytes() const {
    return (sums.has_value() ? sums->bytes() : 0) + (exchanges.has_value() ? exchanges->bytes() : 0);
  }
};

class PeerGroup {
 public:
  // Collective over `group`, of at most kernels::kMaxPeers ranks, with nothing under way on any rank's
  // device; `area` is null for a rank that has none. FailedPrecondition on all ranks alike, naming one and
  // its reason, when some rank cannot reach some other; else the communicator's errors. All arguments outlive
  // it.
  static absl::StatusOr<std::unique_ptr<PeerGroup>> Create(Communicator& group, Device& device,
                                                           PeerArea* area);

  // For the kernels of kernels/api/peers.h. One group's calls are all sums or all exchanges.
  const kernels::PeerMemory& memory() const { return memory_; }

  // Once the device has been waited for: DeadlineExceeded when a rank did not come in time; no sum since then
  // is right.
  absl::Status Check() const;
  // From now on, until the area is in a new group, no sum waits: for when this one has come to its end.
  void Release();

 private:
  PeerGroup(Device& device, absl::Duration timeout) : device_(device), timeout_(timeout) {}

  Device& device_;
  const absl::Duration timeout_;
  std::vector<Memory> opened_;
  kernels::PeerMemory memory_;
};

}  // namespace deeprack::worker
