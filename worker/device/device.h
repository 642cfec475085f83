// The device that a rank computes on: its memory, its kernels, and the order of work on it.
//
// A device has one stream. Kernels (through execution()) and copies are queued on the stream in the order of
// the calls and run one after the other. A call returns without waiting for its work; Synchronize reports
// failures. The CPU device shares the host's memory, and its work is complete when a call returns. Only one
// thread at a time may use a device.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "kernels/api/kernel_set.h"
#include "sizing/alignment.h"
#include "worker/device/graph.h"
#include "worker/device/memory.h"

namespace deeprack::worker {

// Lets a peer open memory. Only devices of the kind that made the ticket can read the bytes.
struct PeerTicket {
  std::array<std::byte, 128> bytes = {};
};

using sizing::kPeerMemoryUnit;

class Device {
 public:
  virtual ~Device() = default;

  virtual std::string_view backend() const = 0;  // "cpu", "cuda"
  virtual std::string description() const = 0;   // one line for the log
  virtual const kernels::KernelSet& kernels() const = 0;
  // Argument of kernels: the stream, and the host's threads for work on host memory.
  virtual const kernels::Execution& execution() const = 0;

  // True if the host may read and write the device's memory directly. False: only kernels and copies may
  // access it.
  virtual bool shares_host_memory() const = 0;
  // Equal for ranks that share memory capacity: the ranks of a machine, or the ranks of a card.
  virtual uint64_t memory_identity() const = 0;
  virtual int64_t AvailableBytes() const = 0;  // free bytes; 0: unknown

  // The memory of both functions is zero and aligned to at least kArenaAlignment. ResourceExhausted, with
  // `purpose`: the memory is not available. The device must outlive the memory. Allocate is called only at
  // start.
  virtual absl::StatusOr<Memory> Allocate(const std::string& purpose, int64_t bytes) = 0;
  // Host memory that copies access directly (pinned).
  virtual absl::StatusOr<Memory> AllocateStaging(const std::string& purpose, int64_t bytes) = 0;

  // Memory that cards of other ranks on this machine may open and access directly. `bytes` must be a multiple
  // of kPeerMemoryUnit. Unimplemented: the device has no such memory.
  virtual absl::StatusOr<Memory> AllocateForPeers(const std::string& purpose, int64_t bytes) {
    return absl::UnimplementedError(absl::StrCat(purpose, ": ranks share no memory"));
  }
  // The ticket with which a peer opens `memory`. The caller sends it to the peer.
  virtual absl::StatusOr<PeerTicket> TicketOf(const Memory& memory) {
    return absl::UnimplementedError("ranks share no memory");
  }
  // A peer's memory, for this device's kernels. The peer's Memory must outlive the result.
  // FailedPrecondition, with the reason: the memory is on another machine, or no direct link leads to its
  // card.
  virtual absl::StatusOr<Memory> OpenPeerMemory(const PeerTicket& ticket) {
    return absl::UnimplementedError("ranks share no memory");
  }

  // Queue a copy. Until the next Synchronize the caller must not change or free the host memory, and must not
  // read the destination of CopyOut. With host memory that is not from AllocateStaging, the call may wait.
  // CopyWithin: source and destination must not overlap.
  virtual absl::Status CopyIn(void* to, const void* from_host, int64_t bytes) = 0;
  virtual absl::Status CopyOut(void* to_host, const void* from, int64_t bytes) = 0;
  virtual absl::Status CopyWithin(void* to, const void* from, int64_t bytes) = 0;

  // True if Record works. Replaying a recording is faster when queueing single kernels takes longer than
  // running them.
  virtual bool records_graphs() const = 0;
  // Records the kernels that `queue` queues; they are not run. `queue` may only queue kernels, and only
  // kernels that have run before. Unimplemented: the device cannot record. Otherwise the error of `queue`, or
  // Internal.
  virtual absl::StatusOr<std::unique_ptr<Graph>> Record(const std::function<absl::Status()>& queue) = 0;

  // Waits for all queued work. Internal: some work failed (the message has the first failure); the device
  // cannot be used any more.
  virtual absl::Status Synchronize() = 0;
};

}  // namespace deeprack::worker
