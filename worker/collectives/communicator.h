// A group of ranks that exchange buffers. The decoder is handed one for each seam; nothing here is global.
//
// Contract, for every implementation (local: threads, mpi: processes, nccl: GPUs):
//  - Every member of the group makes the same calls in the same order with matching sizes. One thread per
//    rank.
//  - Every call ends within `timeout` of its start: with OK, or with DeadlineExceeded or Aborted. After an
//    error the group is broken for good: every later call on it, and on every group split from the same
//    world, answers Aborted.
//  - nccl only queues its work on the device's stream, behind what is there: what became of it, Await says.
//    For the others the data is there, or queued on the device, when a call returns.
//  - Sums are deterministic: element by element in rank order 0, 1, ..., in fp32, rounded once to the
//  buffer's type,
//    whatever the size of the buffer and however it is cut into messages. This is what lets logits be bitwise
//    the same under any batching.
//  - Buffers are host memory for local and mpi, a device's memory for nccl and staged.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/dtype.h"

namespace deeprack::worker {

class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  // That bounds every call.
  virtual absl::Duration timeout() const = 0;

  // data[i] = sum over ranks of their data[i]; in place. type is kF32 or kBF16.
  virtual absl::Status AllReduceSum(void* data, int64_t count, DType type) = 0;

  // out (size() * bytes) = every rank's `in` (bytes), in rank order. The same `bytes` on every rank.
  virtual absl::Status AllGather(const void* in, void* out, int64_t bytes) = 0;

  // As AllGather with each rank's own size: out holds rank r's bytes_of[r] bytes, one after the other.
  virtual absl::Status AllGatherV(const void* in, void* out, std::span<const int64_t> bytes_of) = 0;

  // Sends send_bytes[r] bytes to each rank r (taken from `in`, in rank order, without gaps) and receives
  // recv_bytes[r] from each into `out`, laid out likewise. Sizes agree pairwise and may be 0.
  virtual absl::Status AllToAllV(const void* in, std::span<const int64_t> send_bytes, void* out,
                                 std::span<const int64_t> recv_bytes) = 0;

  // Between neighbours of a pipeline. A Send matches the peer's Receive of the same size, in order.
  virtual absl::Status Send(const void* data, int64_t bytes, int to) = 0;
  virtual absl::Status Receive(void* data, int64_t bytes, int from) = 0;

  virtual absl::Status Barrier() = 0;

  // Returns when everything queued on the device's stream so far is done, or within `timeout` with an error.
  // What waits for the stream after exchanges calls this first: a peer that is lost would keep it for ever.
  // At once where calls do not queue.
  virtual absl::Status Await() = 0;

  // A new group of those who give the same color, ranked by this group's order. Collective over this group.
  virtual absl::StatusOr<std::unique_ptr<Communicator>> Split(int color) = 0;

  // Breaks the group (and its relatives) from any thread: calls under way end with Aborted.
  virtual void Abort() = 0;
};

}  // namespace deeprack::worker
