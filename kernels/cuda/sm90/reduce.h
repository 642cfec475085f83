// Sums and maxima over a warp and a block, in a fixed order. Every thread gets the result.
#pragma once

#include "kernels/cuda/sm90/hopper.h"

namespace deeprack::kernels::sm90 {

__device__ inline float WarpSum(float value) {
  for (int mask = kWarp / 2; mask > 0; mask /= 2) value += __shfl_xor_sync(0xffffffffu, value, mask);
  return value;
}

__device__ inline float WarpMax(float value) {
  for (int mask = kWarp / 2; mask > 0; mask /= 2)
    value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, mask));
  return value;
}

// The sum over the block's kThreads threads. All threads call this; it has two barriers.
template <int kThreads>
__device__ inline float BlockSum(float value) {
  __shared__ float of_warps[kThreads / kWarp];
  value = WarpSum(value);
  __syncthreads();  // all threads have read the result of the last call
  if (threadIdx.x % kWarp == 0) of_warps[threadIdx.x / kWarp] = value;
  __syncthreads();
  float sum = 0;
#pragma unroll
  for (int w = 0; w < kThreads / kWarp; ++w) sum += of_warps[w];
  return sum;
}

template <int kThreads>
__device__ inline float BlockMax(float value) {
  __shared__ float of_warps[kThreads / kWarp];
  value = WarpMax(value);
  __syncthreads();
  if (threadIdx.x % kWarp == 0) of_warps[threadIdx.x / kWarp] = value;
  __syncthreads();
  float best = of_warps[0];
#pragma unroll
  for (int w = 1; w < kThreads / kWarp; ++w) best = fmaxf(best, of_warps[w]);
  return best;
}

// Returns the number of threads of the block before this one that have `mine`, and adds the number of all
// threads that have `mine` to `count`. Has two barriers.
template <int kThreads>
__device__ inline int PlaceAmong(bool mine, int& count) {
  __shared__ int of_warps[kThreads / kWarp];
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const uint32_t votes = Ballot(mine);
  __syncthreads();  // the last call's readers are done
  if (lane == 0) of_warps[warp] = CountBits(votes);
  __syncthreads();
  int before = 0;
#pragma unroll
  for (int w = 0; w < kThreads / kWarp; ++w) {
    before += w < warp ? of_warps[w] : 0;
    count += of_warps[w];
  }
  return before + CountBits(votes & ((1u << lane) - 1u));
}

}  // namespace deeprack::kernels::sm90
