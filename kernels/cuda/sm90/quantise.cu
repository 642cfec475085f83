#include "kernels/cuda/sm90/quantise.h"

#include "base/check.h"
#include "kernels/cuda/sm90/norm_quantise.h"

namespace deeprack::kernels::sm90 {
namespace {

__device__ inline bool Exists(const int32_t* row_count, int64_t row) {
  return row_count == nullptr || row < *row_count;
}

template <class X>
__global__ void QuantiseKernel(QuantiseArgs args) {
  BeginKernel();
  const int64_t row = blockIdx.x;
  if (!Exists(args.row_count, row)) return;
  const X* x = args.x.row<X>(args.row_index != nullptr ? args.row_index[row] : row);
  const int lane = threadIdx.x % kWarp;
  for (int64_t block = threadIdx.x / kWarp; block * kQuantBlock < args.x.cols; block += kRowWarps) {
    StoreBlock(args.out, row, block, args.x.cols, Load4(x, block * kQuantBlock + lane * 4, args.x.cols));
  }
}

template <class X, class R>
__global__ void NormQuantiseKernel(NormQuantiseArgs args) {
  BeginKernel();
  const int64_t row = blockIdx.x;
  const X* x = args.x.row<X>(row);
  const auto more = [&](int64_t column) { return Load4(x, column, args.residual.cols); };
  if (args.x.data != nullptr) {
    NormRow<true, R>(args.residual, args.weight, args.eps, args.normed, args.out, row, more);
  } else {
    NormRow<false, R>(args.residual, args.weight, args.eps, args.normed, args.out, row, more);
  }
}

template <class X>
__global__ void SwiGluQuantiseKernel(SwiGluQuantiseArgs args) {
  BeginKernel();
  const int64_t row = blockIdx.x, cols = args.gate_up.cols / 2;
  if (!Exists(args.row_count, row)) return;
  const X* gate = args.gate_up.row<X>(row);
  const X* up = gate + cols;
  const int lane = threadIdx.x % kWarp;
  for (int64_t block = threadIdx.x / kWarp; block * kQuantBlock < cols; block += kRowWarps) {
    Floats4 v = Load4(gate, block * kQuantBlock + lane * 4, cols);
    const Floats4 u = Load4(up, block * kQuantBlock + lane * 4, cols);
#pragma unroll
    for (int j = 0; j < 4; ++j) v.f[j] = v.f[j] / (1.0f + expf(-v.f[j])) * u.f[j];
    StoreBlock(args.out, row, block, cols, v);
  }
}

__global__ void GatherKernel(GatherArgs args) {
  BeginKernel();
  const int64_t row = blockIdx.x;
  if (!Exists(args.row_count, row)) return;
  const bf16* from = args.x.row<bf16>(args.row_index[row]);
  bf16* to = args.out.row<bf16>(row);
  for (int64_t c = threadIdx.x * 8; c < args.x.cols; c += kRowThreads * 8) {
    *reinterpret_cast<Words4*>(to + c) = *reinterpret_cast<const Words4*>(from + c);
  }
}

__global__ void GatherQuantisedKernel(GatherQuantisedArgs args) {
  BeginKernel();
  const int64_t row = blockIdx.x;
  if (!Exists(args.row_count, row)) return;
  const int64_t source = args.row_index[row];
  const fp8_e4m3* from = args.x.data + source * args.x.stride;
  fp8_e4m3* to = args.out.data + row * args.out.stride;
  for (int64_t c = threadIdx.x * 16; c < args.cols; c += kRowThreads * 16) {
    *reinterpret_cast<Words4*>(to + c) = *reinterpret_cast<const Words4*>(from + c);
  }
  for (int64_t b = threadIdx.x; b * kQuantBlock < args.cols; b += kRowThreads) {
    const int64_t to_scale = b * args.out.scale_stride + row,
                  from_scale = b * args.x.scale_stride + source * args.x_scale_row;
    args.out.scales[to_scale] = args.x.scales[from_scale];
    if (args.out.sums != nullptr) args.out.sums[to_scale] = args.x.sums[from_scale];
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
    Launch(&QuantiseKernel<decltype(x)>, dim3(args.rows), kRowThreads, execution, args);
  });
}

void NormQuantise(const NormQuantiseArgs& args, const Execution& execution) {
  DR_CHECK(InFours(args.x) && InFours(args.residual) && InFours(args.normed) &&
           args.residual.cols <= kMaxNormWidth);
  if (args.residual.rows == 0) return;
  DispatchActivation(args.x.type, [&](auto x) {
    DispatchActivation(args.residual.type, [&](auto residual) {
      Launch(&NormQuantiseKernel<decltype(x), decltype(residual)>, dim3(args.residual.rows), kRowThreads,
             execution, args);
    });
  });
}

void SwiGluQuantise(const SwiGluQuantiseArgs& args, const Execution& execution) {
  DR_CHECK(InFours(args.gate_up) && args.gate_up.cols % 8 == 0);
  if (args.gate_up.rows == 0) return;
  DispatchActivation(args.gate_up.type, [&](auto x) {
    Launch(&SwiGluQuantiseKernel<decltype(x)>, dim3(args.gate_up.rows), kRowThreads, execution, args);
  });
}

void Gather(const GatherArgs& args, const Execution& execution) {
  DR_CHECK(args.x.cols % 8 == 0 && args.x.stride % 8 == 0 && args.out.stride % 8 == 0);
  if (args.out.rows == 0) return;
  Launch(&GatherKernel, dim3(args.out.rows), kRowThreads, execution, args);
}

void GatherQuantised(const GatherQuantisedArgs& args, const Execution& execution) {
  DR_CHECK(args.cols % 16 == 0 && args.x.stride % 16 == 0 && args.out.stride % 16 == 0);
  DR_CHECK(args.out.sums == nullptr || args.x.sums != nullptr);
  if (args.rows == 0) return;
  Launch(&GatherQuantisedKernel, dim3(args.rows), kRowThreads, execution, args);
}

}  // namespace deeprack::kernels::sm90
