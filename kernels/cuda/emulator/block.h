// Runs CUDA blocks on the host, so that tests run the kernels' own source without a GPU.
//
// The threads of a block are fibers of one OS thread. A fiber runs until it meets a barrier or a shuffle;
// then the next fiber runs. So __shared__ variables are thread-local statics of the OS thread, and races
// cannot tear values. Fibers run in thread order between barriers, or in the opposite order after
// SetReversed(true): a missing barrier gives a wrong result in one of the two orders, every time. Blocks run
// one after the other.
//
// Emulated: threadIdx, blockIdx, blockDim, gridDim (x and y), __syncthreads, __syncwarp, full-mask
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

// The indices of the running thread.
struct Position {
  Dim thread, block, block_dim, grid_dim;
};
const Position& Current();

// Waits until every thread of the block (or of the warp) has called this.
void SyncBlock();
void SyncWarp();

// Waits until ready() returns true. Other threads run between calls of ready(), which must not wait.
void WaitUntil(const std::function<bool()>& ready);

// Called when every thread of the block waits and no barrier is complete. The function does one piece of the
// work that runs beside the threads (copies) and returns true. If it returns false, the block would wait for
// ever, and a check fails.
void SetWorkBesideThreads(std::function<bool()> work);

// Called before the first thread of each block runs, and after its last has ended.
void SetBlockHooks(std::function<void()> begin, std::function<void()> end);

// Publishes 8 bytes to the warp's other lanes and returns the 8 bytes of lane `source`.
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
