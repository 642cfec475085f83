// One source for the card and for the host: what a plain kernel may use. Compiled by nvcc it is CUDA itself; compiled by
// the C++ compiler it is the shim of kernels/cuda/host, with the same meaning.
#pragma once

#include <cmath>
#include <cstdint>

#include "base/dtype.h"

#if defined(__CUDACC__)

#include <cuda_runtime.h>

#define DR_LAUNCH(kernel, grid, block, execution, ...) \
  kernel<<<grid, block, 0, static_cast<cudaStream_t>((execution).stream)>>>(__VA_ARGS__)

#else

#include "kernels/cuda/host/block.h"

#define __global__ static
#define __device__
#define __shared__ static thread_local
#define __restrict__

namespace deeprack::kernels::plain {

struct dim3 {
  unsigned x, y;
  dim3(int64_t x_size, int64_t y_size = 1)
      : x(static_cast<unsigned>(x_size)), y(static_cast<unsigned>(y_size)) {}
  operator host::Dim() const { return {x, y, 1}; }
};

inline void __syncthreads() { host::SyncBlock(); }
inline void __syncwarp() { host::SyncWarp(); }
template <class T>
T __shfl_xor_sync(unsigned, T value, int lane_mask) {
  return host::ExchangeAs(value, static_cast<int>(host::Current().thread.x % 32) ^ lane_mask);
}

}  // namespace deeprack::kernels::plain

#define threadIdx (::deeprack::kernels::host::Current().thread)
#define blockIdx (::deeprack::kernels::host::Current().block)
#define blockDim (::deeprack::kernels::host::Current().block_dim)
#define gridDim (::deeprack::kernels::host::Current().grid_dim)

#define DR_LAUNCH(kernel, grid, block, execution, ...) \
  (static_cast<void>(execution), ::deeprack::kernels::host::RunGrid(grid, block, [&] { kernel(__VA_ARGS__); }))

#endif

namespace deeprack::kernels::plain {

inline constexpr int kWarp = 32;

// Sum and maximum over a warp's 32 lanes, the same on every lane, in a fixed order.
__device__ inline float WarpSum(float value) {
  for (int mask = kWarp / 2; mask > 0; mask /= 2) value += __shfl_xor_sync(0xffffffffu, value, mask);
  return value;
}

__device__ inline float WarpMax(float value) {
  for (int mask = kWarp / 2; mask > 0; mask /= 2) value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, mask));
  return value;
}

// Sum over the block's `threads` threads (a multiple of 32, at most 1024), the same on every thread, in a fixed order.
// Holds two barriers; every thread of the block must call it.
__device__ inline float BlockSum(float value) {
  __shared__ float partial[kWarp];
  const int lane = threadIdx.x % kWarp;
  const int warp = threadIdx.x / kWarp;
  const int warps = blockDim.x / kWarp;
  value = WarpSum(value);
  __syncthreads();  // the last call's readers are done
  if (lane == 0) partial[warp] = value;
  __syncthreads();
  float sum = 0;
  for (int w = 0; w < warps; ++w) sum += partial[w];
  return sum;
}

}  // namespace deeprack::kernels::plain
