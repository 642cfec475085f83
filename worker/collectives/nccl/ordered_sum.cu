#include <algorithm>

#include "worker/collectives/nccl/ordered_sum_cuda.h"

namespace deeprack::worker {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMostBlocks = 4096;  // with more elements than threads, each thread sums several elements

__device__ float Load(const float* values, int64_t i) { return values[i]; }
__device__ float Load(const bf16* values, int64_t i) {
  return __uint_as_float(static_cast<uint32_t>(values[i].bits) << 16);
}

__device__ void Store(float* values, int64_t i, float value) { values[i] = value; }
// ToBF16 of base/dtype.h for device code: rounds to nearest, ties to even; NaN stays NaN.
__device__ void Store(bf16* values, int64_t i, float value) {
  const uint32_t bits = __float_as_uint(value);
  const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
  const uint32_t rounded = nan ? (bits >> 16) | 0x40u : (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  values[i].bits = static_cast<uint16_t>(rounded);
}

template <class T>
__global__ void OrderedSumKernel(const T* parts, int num_parts, int64_t count, T* out) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += stride) {
    float sum = Load(parts, i);
    for (int part = 1; part < num_parts; ++part) sum = __fadd_rn(sum, Load(parts, part * count + i));
    Store(out, i, sum);
  }
}

template <class T>
void Launch(const void* parts, int num_parts, int64_t count, void* out, cudaStream_t stream) {
  const int64_t blocks = std::min((count + kThreads - 1) / kThreads, kMostBlocks);
  OrderedSumKernel<<<static_cast<unsigned>(blocks), kThreads, 0, stream>>>(
      static_cast<const T*>(parts), num_parts, count, static_cast<T*>(out));
}

}  // namespace

bool LaunchOrderedSum(const void* parts, int num_parts, int64_t count, DType type, void* out,
                      CUstream_st* stream) {
  if (count == 0) return true;
  if (type == DType::kBF16) {
    Launch<bf16>(parts, num_parts, count, out, stream);
  } else {
    Launch<float>(parts, num_parts, count, out, stream);
  }
  return cudaGetLastError() == cudaSuccess;
}

}  // namespace deeprack::worker
