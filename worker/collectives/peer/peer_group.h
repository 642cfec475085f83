// Ranks whose cards read each other's memory: sums in one launch, without a communicator and without the host
// (kernels/api/peer_sum.h), so that recordings hold them. Beside a communicator, which makes the
// acquaintance and takes what does not fit.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/api/kernel_set.h"
#include "worker/collectives/communicator.h"
#include "worker/device/device.h"

namespace deeprack::worker {

// A rank's own part of it, which stays over epochs: nobody need take memory that peers may still look at.
class PeerArea {
 public:
  // What sums of at most `rows` rows of `cols` values take of the card's memory.
  static int64_t Bytes(int64_t rows, int64_t cols);

  // The device outlives it. Errors are the device's: Unimplemented where ranks share no memory.
  static absl::StatusOr<PeerArea> Create(Device& device, int64_t rows, int64_t cols);

  int64_t bytes() const { return memory_.bytes(); }

 private:
  friend class PeerGroup;
  PeerArea(Memory memory, Memory missing, int64_t rows, int64_t cols)
      : memory_(std::move(memory)), missing_(std::move(missing)), rows_(rows), cols_(cols) {}

  Memory memory_;   // flags, call numbers, the area
  Memory missing_;  // pinned: one word
  int64_t rows_, cols_;
};

class PeerGroup {
 public:
  // Collective over `group`, of at most kernels::kMaxPeers ranks, with nothing under way on any rank's
  // device; `area` is null for a rank that has none. FailedPrecondition on all ranks alike, naming one and
  // its reason, when some rank cannot reach some other; else the communicator's errors. All arguments outlive
  // it.
  static absl::StatusOr<std::unique_ptr<PeerGroup>> Create(Communicator& group, Device& device,
                                                           PeerArea* area);

  // As Communicator::AllReduceSum, queued, for what Serves says.
  bool Serves(const kernels::Matrix& x) const { return x.rows <= memory_.rows && x.cols <= memory_.cols; }
  void Sum(const kernels::Matrix& x) {
    device_.kernels().peer_sum({.x = x, .peers = memory_}, device_.execution());
  }
  int64_t most_rows() const { return memory_.rows; }

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
