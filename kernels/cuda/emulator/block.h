// Runs CUDA blocks on the host, so that the plain kernels' own source is tested where there is no GPU.
//
// A block's threads are fibers of one OS thread: each runs until it meets a barrier or a shuffle, then the
// next one runs. So __shared__ variables are plain per-OS-thread statics, races cannot tear, and a missing
// barrier shows up as a wrong result, deterministically: fibers run in thread order between barriers, and
// reversed() runs them in the opposite order, which must give the same answer. Blocks run one after the
// other.
//
// What is emulated: threadIdx, blockIdx, blockDim, gridDim (x and y), __syncthreads, __syncwarp, full-mask
// __shfl_xor_sync and __shfl_sync, atomicAdd on int. A thread that returns early counts as arrived at every
// later barrier.
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>

namespace deeprack::kernels::host {

struct Dim {
  unsigned x = 1, y = 1, z = 1;
};

// The indices of the thread that runs now.
struct Position {
  Dim thread, block, block_dim, grid_dim;
};
const Position& Current();

// Waits until every thread of the block (or of the warp) has come here.
void SyncBlock();
void SyncWarp();

// Waits until ready() holds. It is asked between other threads' turns, and must not wait itself.
void WaitUntil(const std::function<bool()>& ready);

// Called when every thread of the block waits and no barrier is complete: does one piece of the work that
// runs beside the threads (copies) and returns true, or returns false: then the block would wait for ever,
// which is a failed check.
void SetWorkBesideThreads(std::function<bool()> work);

// Called before the first thread of each block runs, and after its last has ended.
void SetBlockHooks(std::function<void()> begin, std::function<void()> end);

// Publishes 8 bytes for the warp's other lanes and returns those of lane `source`.
uint64_t Exchange(uint64_t value, int source);

// Runs body once for each thread of each block. Not reentrant.
void RunGrid(Dim grid, Dim block, const std::function<void()>& body);

// Runs the threads between two barriers last to first from now on (on this OS thread).
void SetReversed(bool reversed);

template <class T>
T ExchangeAs(T value, int source) {
  static_assert(sizeof(T) <= sizeof(uint64_t));
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = Exchange(bits, source);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

}  // namespace deeprack::kernels::host
