// The steps of a row's norm and quantisation, which several kernels share. A block of 256 threads takes a
// row, a warp takes 128 columns at a time, a lane 4 columns.
#pragma once

#include "base/e4m3.h"
#include "kernels/cuda/sm90/quantise.h"
#include "kernels/cuda/sm90/reduce.h"

namespace deeprack::kernels::sm90 {

inline constexpr int kRowThreads = 256;
inline constexpr int kRowWarps = kRowThreads / kWarp;
inline constexpr int kQuantBlock = 128;                                      // columns of a scale
inline constexpr int kNormBlocks = kMaxNormWidth / kQuantBlock / kRowWarps;  // of a warp

template <class T>
struct alignas(4 * sizeof(T)) FourOf {
  T t[4];
};

// 4 columns from `column` on; zeros beyond `cols`.
template <class T>
__device__ inline Floats4 Load4(const T* row, int64_t column, int64_t cols) {
  if (column >= cols) return {};
  const FourOf<T> four = *reinterpret_cast<const FourOf<T>*>(row + column);
  return {ToFloat(four.t[0]), ToFloat(four.t[1]), ToFloat(four.t[2]), ToFloat(four.t[3])};
}

template <class T>
__device__ inline void Store4(T* row, int64_t column, int64_t cols, const Floats4& v) {
  if (column >= cols) return;
  *reinterpret_cast<FourOf<T>*>(row + column) = {FromFloat<T>(v.f[0]), FromFloat<T>(v.f[1]),
                                                 FromFloat<T>(v.f[2]), FromFloat<T>(v.f[3])};
}

// Quantises one block of 128 columns; each lane of the warp holds 4 columns.
__device__ inline void StoreBlock(const QuantisedRows& out, int64_t row, int64_t block, int64_t cols,
                                  const Floats4& v) {
  const int lane = threadIdx.x % kWarp;
  const float largest =
      WarpMax(fmaxf(fmaxf(fabsf(v.f[0]), fabsf(v.f[1])), fmaxf(fabsf(v.f[2]), fabsf(v.f[3]))));
  const float inverse = largest > 0.0f ? kLargestE4M3 / largest : 1.0f;
  const float scale = largest > 0.0f ? largest / kLargestE4M3 : 1.0f;
  if (lane == 0) out.scales[block * out.scale_stride + row] = scale;
  const int64_t column = block * kQuantBlock + lane * 4;
  const uint32_t four = FourE4M3(v.f[0] * inverse, v.f[1] * inverse, v.f[2] * inverse, v.f[3] * inverse);
  if (column < cols) *reinterpret_cast<uint32_t*>(out.data + row * out.stride + column) = four;
  if (out.sums != nullptr) {  // lanes beyond the row hold zeros
    const Floats4 rounded = FromFourE4M3(four);
    const float sum = WarpSum((rounded.f[0] + rounded.f[1]) + (rounded.f[2] + rounded.f[3]));
    if (lane == 0) out.sums[block * out.scale_stride + row] = scale * sum;
  }
}

// With kAdds: residual += more(column), rounded to the residual's type. Then writes the norm of the residual
// to `normed` and, quantised, to `out`, each if it has data.
template <bool kAdds, class R, class More>
__device__ inline void NormRow(const Matrix& residual_rows, const float* weights, float eps,
                               const Matrix& normed, const QuantisedRows& out, int64_t row, More more) {
  const int64_t cols = residual_rows.cols;
  R* residual = residual_rows.row<R>(row);
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  Floats4 values[kNormBlocks];
  float squares = 0.0f;
#pragma unroll
  for (int i = 0; i < kNormBlocks; ++i) {
    const int64_t column = int64_t{i * kRowWarps + warp} * kQuantBlock + lane * 4;
    values[i] = Load4(residual, column, cols);
    if constexpr (kAdds) {
      const Floats4 added = more(column);
#pragma unroll
      for (int j = 0; j < 4; ++j) values[i].f[j] = ToFloat(FromFloat<R>(values[i].f[j] + added.f[j]));
      Store4(residual, column, cols, values[i]);
    }
#pragma unroll
    for (int j = 0; j < 4; ++j) squares = fmaf(values[i].f[j], values[i].f[j], squares);
  }
  const float inverse = 1.0f / sqrtf(BlockSum<kRowThreads>(squares) / static_cast<float>(cols) + eps);
#pragma unroll
  for (int i = 0; i < kNormBlocks; ++i) {
    const int64_t block = i * kRowWarps + warp;
    if (block * kQuantBlock >= cols) continue;  // the whole warp
    const int64_t column = block * kQuantBlock + lane * 4;
    const Floats4 weight = Load4(weights, column, cols);
#pragma unroll
    for (int j = 0; j < 4; ++j) values[i].f[j] = values[i].f[j] * inverse * weight.f[j];
    if (normed.data != nullptr) Store4(normed.row<bf16>(row), column, cols, values[i]);
    if (out.data != nullptr) StoreBlock(out, row, block, cols, values[i]);
  }
}

}  // namespace deeprack::kernels::sm90
