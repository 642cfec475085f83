// The functions that a plain kernel may use, so that one source serves card and host. nvcc compiles them to
// CUDA; the C++ compiler compiles them to the emulation in kernels/cuda/emulator, which has the same meaning.
//
// Neither compiler fuses a multiplication and an addition by itself, and both divide and take roots as IEEE
// 754 says. So a kernel that adds in the CPU kernels' order gives the CPU kernels' bits.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "base/dtype.h"

#if defined(__CUDACC__)

#include <cuda_runtime.h>

#define DR_LAUNCH(kernel, grid, block, execution, ...) \
  kernel<<<grid, block, 0, static_cast<cudaStream_t>((execution).stream)>>>(__VA_ARGS__)
#define DR_UNROLL _Pragma("unroll")

#else

#include "kernels/cuda/emulator/block.h"
#include "kernels/cuda/emulator/stream.h"

#define DR_UNROLL

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

// Threads take turns, so a plain addition is atomic.
template <class T>
T atomicAdd(T* sum, T value) {
  const T before = *sum;
  *sum += value;
  return before;
}

}  // namespace deeprack::kernels::plain

#define threadIdx (::deeprack::kernels::host::Current().thread)
#define blockIdx (::deeprack::kernels::host::Current().block)
#define blockDim (::deeprack::kernels::host::Current().block_dim)
#define gridDim (::deeprack::kernels::host::Current().grid_dim)

// Copies the arguments, as a launch on a card does, since a stream runs the kernel later.
#define DR_LAUNCH(kernel, grid, block, execution, ...) \
  ::deeprack::kernels::host::Launch((execution).stream, grid, block, [=] { kernel(__VA_ARGS__); })

#endif

namespace deeprack::kernels::plain {

inline constexpr int kWarp = 32;

// e^x by the polynomial of the CPU kernels (kernels/cpu/simd.h), with the same bits: relative error below
// 2e-7; 0 below -87, e^88 above 88, NaN for NaN.
__device__ inline float Exp(float x) {
  const float not_above = 88.0f < x ? 88.0f : x;
  const float y = -87.0f > not_above ? -87.0f : not_above;
  const float rounder = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  const float shifted = fmaf(y, 1.44269504088896341f, rounder);
  const float n = shifted - rounder;
  float r = fmaf(n, -0.693359375f, y);
  r = fmaf(n, 2.12194440e-4f, r);
  float p = 1.0f / 5040;
  p = fmaf(p, r, 1.0f / 720);
  p = fmaf(p, r, 1.0f / 120);
  p = fmaf(p, r, 1.0f / 24);
  p = fmaf(p, r, 1.0f / 6);
  p = fmaf(p, r, 0.5f);
  p = fmaf(p, r, 1.0f);
  p = fmaf(p, r, 1.0f);
  return x < -87.0f
             ? 0.0f
             : std::bit_cast<float>(std::bit_cast<uint32_t>(p) + (std::bit_cast<uint32_t>(shifted) << 23));
}

}  // namespace deeprack::kernels::plain
