// A group of ranks that exchange buffers. The decoder gets one for each of its groups.
//
// Contract of every implementation (local: threads; mpi and gloo: processes; nccl: GPUs; staged: GPUs through
// host memory):
//  - All members of the group make the same calls in the same order with matching sizes. Each member uses one
//    thread.
//  - Every call ends within timeout() of its start: with OK, DeadlineExceeded or Aborted. After an error the
//    group is broken: every later call on it, and on every group split from the same world, returns Aborted.
//  - nccl only queues its work on the device's stream; Await reports errors of that work. With the others,
//    the data has arrived, or is queued on the device, when a call returns.
//  - Sums are deterministic: each element is added in rank order 0, 1, ... in fp32 and rounded once to the
//    buffer's type, for every size of the buffer and every division into messages. So logits are bitwise the
//    same in any batch.
//  - Buffers are host memory for local, mpi and gloo, device memory for nccl and staged.
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
  // The longest time that a call may take.
  virtual absl::Duration timeout() const = 0;

  // data[i] = sum of data[i] over all ranks, in place, for 0 <= i < count. `type` is kF32 or kBF16.
  virtual absl::Status AllReduceSum(void* data, int64_t count, DType type) = 0;

  // out [size() * bytes] = `in` [bytes] of every rank, in rank order. `bytes` must be equal on all ranks.
  virtual absl::Status AllGather(const void* in, void* out, int64_t bytes) = 0;

  // As AllGather, with bytes_of[r] bytes of rank r, without gaps.
  virtual absl::Status AllGatherV(const void* in, void* out, std::span<const int64_t> bytes_of) = 0;

  // Sends send_bytes[r] bytes to each rank r and receives recv_bytes[r] bytes from each. `in` and `out` hold
  // these in rank order without gaps. Each send_bytes must equal the receiver's recv_bytes; 0 is allowed.
  virtual absl::Status AllToAllV(const void* in, std::span<const int64_t> send_bytes, void* out,
                                 std::span<const int64_t> recv_bytes) = 0;

  // For pipeline stages. Each Send needs a Receive of the same size on the other rank, in the same order.
  virtual absl::Status Send(const void* data, int64_t bytes, int to) = 0;
  virtual absl::Status Receive(void* data, int64_t bytes, int from) = 0;

  virtual absl::Status Barrier() = 0;

  // Waits until all work queued on the device's stream is done; returns an error after timeout(). Call this
  // before waiting for the stream after exchanges, because a lost peer would block the stream for ever.
  // Returns at once if calls do not queue work.
  virtual absl::Status Await() = 0;

  // Makes a group of the ranks with the same `color`, ranked in this group's order. Collective over this
  // group.
  virtual absl::StatusOr<std::unique_ptr<Communicator>> Split(int color) = 0;

  // Breaks this group and all groups of its world: calls in progress end with Aborted. May be called from any
  // thread.
  virtual void Abort() = 0;
};

}  // namespace deeprack::worker
