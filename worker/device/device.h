// What a rank computes on: its memory, its kernels, and the order in which things happen there.
//
// A device has one stream. Kernels (through execution()) and copies are queued on it in the order of the
// calls and run one after the other; the host goes on at once and learns of failures in Synchronize. On the
// CPU, which shares the host's memory, everything happens before the call returns. One thread at a time uses
// a device.
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

// Bytes that mean something to the kind of device that made them.
struct PeerTicket {
  std::array<std::byte, 128> bytes = {};
};

using sizing::kPeerMemoryUnit;

class Device {
 public:
  virtual ~Device() = default;

  virtual std::string_view backend() const = 0;  // "cpu", "cuda"
  virtual std::string description() const = 0;   // for people
  virtual const kernels::KernelSet& kernels() const = 0;
  // For the kernels: the stream, and the host's threads for work on host memory.
  virtual const kernels::Execution& execution() const = 0;

  // Whether the host may read and write the device's memory in place. If not, only kernels and copies touch
  // it.
  virtual bool shares_host_memory() const = 0;
  // Equal for ranks that take their memory from the same place: a machine's, a card's.
  virtual uint64_t memory_identity() const = 0;
  virtual int64_t AvailableBytes() const = 0;  // 0: unknown

  // Both are zero at first and aligned to kArenaAlignment at least. ResourceExhausted, naming `purpose`, when
  // there is not so much. The device outlives what it gave. Allocate is called only at start-up.
  virtual absl::StatusOr<Memory> Allocate(const std::string& purpose, int64_t bytes) = 0;
  // Host memory that copies take without a detour (pinned).
  virtual absl::StatusOr<Memory> AllocateStaging(const std::string& purpose, int64_t bytes) = 0;

  // Memory that the cards of other ranks on this machine may be let into, where they reach it directly, a
  // multiple of kPeerMemoryUnit. Unimplemented where no card does that.
  virtual absl::StatusOr<Memory> AllocateForPeers(const std::string& purpose, int64_t bytes) {
    return absl::UnimplementedError(absl::StrCat(purpose, ": ranks share no memory"));
  }
  // What lets a peer into it, to be sent there.
  virtual absl::StatusOr<PeerTicket> TicketOf(const Memory& memory) {
    return absl::UnimplementedError("ranks share no memory");
  }
  // A peer's memory as this device's kernels reach it; the peer's own outlives it. FailedPrecondition, and
  // why, when it is on another machine, or no direct link leads to its card.
  virtual absl::StatusOr<Memory> OpenPeerMemory(const PeerTicket& ticket) {
    return absl::UnimplementedError("ranks share no memory");
  }

  // Queued. Host memory is left alone until the next Synchronize; other than staging memory may make the call
  // wait. CopyWithin: the two runs do not overlap.
  virtual absl::Status CopyIn(void* to, const void* from_host, int64_t bytes) = 0;
  virtual absl::Status CopyOut(void* to_host, const void* from, int64_t bytes) = 0;
  virtual absl::Status CopyWithin(void* to, const void* from, int64_t bytes) = 0;

  // Whether work can be recorded. It pays where queueing kernels one by one costs more than running them.
  virtual bool records_graphs() const = 0;
  // Records what `queue` queues, instead of queueing it: kernels only, which have run before. Unimplemented
  // where nothing can be recorded; otherwise queue's error, or Internal.
  virtual absl::StatusOr<std::unique_ptr<Graph>> Record(const std::function<absl::Status()>& queue) = 0;

  // Waits for all that is queued. Internal: something of it failed (the first failure), and the device is of
  // no use any more.
  virtual absl::Status Synchronize() = 0;
};

}  // namespace deeprack::worker
