#include "kernels/cuda/sm90/quantise.h"

#include "base/check.h"
#include "kernels/cuda/sm90/isa/e4m3.h"
#include "kernels/cuda/sm90/reduce.h"

namespace deeprack::kernels::sm90 {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
constexpr int kBlock = 128;                                   // columns of a scale; a lane holds 4 of them
constexpr int kNormBlocks = kMaxNormWidth / kBlock / kWarps;  // of a warp

__device__ inline bool Exists(const RowsThatExist& exist, int64_t row) {
  if (exist.count == nullptr) return true;
  if (exist.group_rows == 0) return row < *exist.count;
  return row % exist.group_rows < exist.count[row / exist.group_rows];
}

// The lane's 4 columns from `column` on; zeros beyond `cols`.
template <class T>
__device__ inline Floats4 Load4(const T* row, int64_t column, int64_t cols) {
  if (column >= cols) return {};
  if constexpr (sizeof(T) == 4) {
    return *reinterpret_cast<const Floats4*>(row + column);
  } else {
    struct alignas(8) Four {
      T t[4];
    };
    const Four four = *reinterpret_cast<const Four*>(row + column);
    return {ToFloat(four.t[0]), ToFloat(four.t[1]), ToFloat(four.t[2]), ToFloat(four.t[3])};
  }
}

template <class T>
__device__ inline void Store4(T* row, int64_t column, int64_t cols, const Floats4& v) {
  if (column >= cols) return;
  if constexpr (sizeof(T) == 4) {
    *reinterpret_cast<Floats4*>(row + column) = v;
  } else {
    struct alignas(8) Four {
      T t[4];
    };
    *reinterpret_cast<Four*>(row + column) = {FromFloat<T>(v.f[0]), FromFloat<T>(v.f[1]),
                                              FromFloat<T>(v.f[2]), FromFloat<T>(v.f[3])};
  }
}

// Quantises one block, of which each lane of the warp holds 4 columns.
__device__ inline void StoreBlock(const QuantisedRows& out, int64_t row, int64_t block, int64_t cols,
                                  const Floats4& v) {
  const int lane = threadIdx.x % kWarp;
  const float largest =
      WarpMax(fmaxf(fmaxf(fabsf(v.f[0]), fabsf(v.f[1])), fmaxf(fabsf(v.f[2]), fabsf(v.f[3]))));
  const float inverse = largest > 0.0f ? kLargestE4M3 / largest : 1.0f;
  if (lane == 0) out.scales[block * out.scale_stride + row] = largest > 0.0f ? largest / kLargestE4M3 : 1.0f;
  const int64_t column = block * kBlock + lane * 4;
  if (column < cols) {
    *reinterpret_cast<uint32_t*>(out.data + row * out.stride + column) =
        FourE4M3(v.f[0] * inverse, v.f[1] * inverse, v.f[2] * inverse, v.f[3] * inverse);
  }
}

template <class X>
__global__ void QuantiseKernel(QuantiseArgs args) {
  const int64_t row = blockIdx.x;
  if (!Exists(args.exist, row)) return;
  const X* x = args.x.row<X>(args.row_index != nullptr ? args.row_index[row] : row);
  const int lane = threadIdx.x % kWarp;
  for (int64_t block = threadIdx.x / kWarp; block * kBlock < args.x.cols; block += kWarps) {
    StoreBlock(args.out, row, block, args.x.cols, Load4(x, block * kBlock + lane * 4, args.x.cols));
  }
}

template <class X, class R>
__global__ void NormQuantiseKernel(NormQuantiseArgs args) {
  const int64_t row = blockIdx.x, cols = args.residual.cols;
  const X* x = args.x.row<X>(row);
  R* residual = args.residual.row<R>(row);
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  Floats4 values[kNormBlocks];
  float squares = 0.0f;
#pragma unroll
  for (int i = 0; i < kNormBlocks; ++i) {
    const int64_t column = int64_t{i * kWarps + warp} * kBlock + lane * 4;
    values[i] = Load4(residual, column, cols);
    if (args.x.data != nullptr) {
      const Floats4 more = Load4(x, column, cols);
#pragma unroll
      for (int j = 0; j < 4; ++j) values[i].f[j] = ToFloat(FromFloat<R>(values[i].f[j] + more.f[j]));
      Store4(residual, column, cols, values[i]);
    }
#pragma unroll
    for (int j = 0; j < 4; ++j) squares = fmaf(values[i].f[j], values[i].f[j], squares);
  }
  const float inverse = 1.0f / sqrtf(BlockSum<kThreads>(squares) / static_cast<float>(cols) + args.eps);
#pragma unroll
  for (int i = 0; i < kNormBlocks; ++i) {
    const int64_t block = i * kWarps + warp;
    if (block * kBlock >= cols) continue;  // the whole warp
    const int64_t column = block * kBlock + lane * 4;
    const Floats4 weight = Load4(args.weight, column, cols);
#pragma unroll
    for (int j = 0; j < 4; ++j) values[i].f[j] = values[i].f[j] * inverse * weight.f[j];
    if (args.normed.data != nullptr) Store4(args.normed.row<bf16>(row), column, cols, values[i]);
    StoreBlock(args.out, row, block, cols, values[i]);
  }
}

template <class X>
__global__ void SwiGluQuantiseKernel(SwiGluQuantiseArgs args) {
  const int64_t row = blockIdx.x, cols = args.gate_up.cols / 2;
  if (!Exists(args.exist, row)) return;
  const X* gate = args.gate_up.row<X>(row);
  const X* up = gate + cols;
  const int lane = threadIdx.x % kWarp;
  for (int64_t block = threadIdx.x / kWarp; block * kBlock < cols; block += kWarps) {
    Floats4 v = Load4(gate, block * kBlock + lane * 4, cols);
    const Floats4 u = Load4(up, block * kBlock + lane * 4, cols);
#pragma unroll
    for (int j = 0; j < 4; ++j) v.f[j] = v.f[j] / (1.0f + expf(-v.f[j])) * u.f[j];
    StoreBlock(args.out, row, block, cols, v);
  }
}

__global__ void GatherKernel(GatherArgs args) {
  const int64_t row = blockIdx.x;
  if (!Exists(args.exist, row)) return;
  const bf16* from = args.x.row<bf16>(args.row_index[row]);
  bf16* to = args.out.row<bf16>(row);
  for (int64_t c = threadIdx.x * 8; c < args.x.cols; c += kThreads * 8) {
    *reinterpret_cast<Words4*>(to + c) = *reinterpret_cast<const Words4*>(from + c);
  }
}

__global__ void GatherQuantisedKernel(GatherQuantisedArgs args) {
  const int64_t row = blockIdx.x;
  if (!Exists(args.exist, row)) return;
  const int64_t source = args.row_index[row];
  const fp8_e4m3* from = args.x.data + source * args.x.stride;
  fp8_e4m3* to = args.out.data + row * args.out.stride;
  for (int64_t c = threadIdx.x * 16; c < args.cols; c += kThreads * 16) {
    *reinterpret_cast<Words4*>(to + c) = *reinterpret_cast<const Words4*>(from + c);
  }
  for (int64_t b = threadIdx.x; b * kBlock < args.cols; b += kThreads) {
    args.out.scales[b * args.out.scale_stride + row] = args.x.scales[b * args.x.scale_stride + source];
  }
}

bool InFours(const Matrix& matrix) {
  return matrix.data == nullptr || (matrix.cols % 4 == 0 && matrix.stride % 4 == 0);
}

}  // namespace

void Quantise(const QuantiseArgs& args, const Execution& execution) {
  DR_CHECK(InFours(args.x));
  if (args.rows == 0) return;
  DispatchActivation(args.x.type, [&](auto x) {
    DR_LAUNCH((QuantiseKernel<decltype(x)>), dim3(args.rows), dim3(kThreads), execution, args);
  });
}

void NormQuantise(const NormQuantiseArgs& args, const Execution& execution) {
  DR_CHECK(InFours(args.x) && InFours(args.residual) && InFours(args.normed) &&
           args.residual.cols <= kMaxNormWidth);
  if (args.residual.rows == 0) return;
  DispatchActivation(args.x.type, [&](auto x) {
    DispatchActivation(args.residual.type, [&](auto residual) {
      DR_LAUNCH((NormQuantiseKernel<decltype(x), decltype(residual)>), dim3(args.residual.rows),
                dim3(kThreads), execution, args);
    });
  });
}

void SwiGluQuantise(const SwiGluQuantiseArgs& args, const Execution& execution) {
  DR_CHECK(InFours(args.gate_up) && args.gate_up.cols % 8 == 0);
  if (args.gate_up.rows == 0) return;
  DispatchActivation(args.gate_up.type, [&](auto x) {
    DR_LAUNCH((SwiGluQuantiseKernel<decltype(x)>), dim3(args.gate_up.rows), dim3(kThreads), execution, args);
  });
}

void Gather(const GatherArgs& args, const Execution& execution) {
  DR_CHECK(args.x.cols % 8 == 0 && args.x.stride % 8 == 0 && args.out.stride % 8 == 0);
  if (args.out.rows == 0) return;
  DR_LAUNCH(GatherKernel, dim3(args.out.rows), dim3(kThreads), execution, args);
}

void GatherQuantised(const GatherQuantisedArgs& args, const Execution& execution) {
  DR_CHECK(args.cols % 16 == 0 && args.x.stride % 16 == 0 && args.out.stride % 16 == 0);
  if (args.rows == 0) return;
  DR_LAUNCH(GatherQuantisedKernel, dim3(args.rows), dim3(kThreads), execution, args);
}

}  // namespace deeprack::kernels::sm90
