// Operations that touch each element of a row once, plain: embedding, norms, residual addition, SwiGLU,
// copies. One block for each row. Bytes: the rows themselves.
#include "kernels/cuda/plain/device.h"
#include "kernels/cuda/plain/operations.h"

namespace deeprack::kernels::plain {
namespace {

constexpr int kThreads = 256;

template <class T, class O>
__global__ void EmbeddingKernel(EmbeddingArgs args) {
  const int64_t row = blockIdx.x;
  const int64_t index = args.ids[row] - args.vocab_begin;
  const bool here = index >= 0 && index < args.vocab_rows;
  const T* from = static_cast<const T*>(args.table) + (here ? index : 0) * args.out.cols;
  O* to = args.out.row<O>(row);
  for (int64_t i = threadIdx.x; i < args.out.cols; i += kThreads) to[i] = FromFloat<O>(here ? ToFloat(from[i]) : 0.0f);
}

// 1 / sqrt(mean(x^2) + eps) of a row, returned to every thread. Partial sum p adds the columns p, p + 64, ...
// in order. Then the upper half of the partial sums is added to the lower half until one sum is left. This is
// the CPU's order. Has barriers.
template <class T>
__device__ float InverseRms(const T* x, int64_t cols, float eps) {
  constexpr int kPartials = 64;
  __shared__ float partial[kPartials];
  const int p = static_cast<int>(threadIdx.x);
  __syncthreads();  // all threads have written their columns of x
  if (p < kPartials) {
    float sum = 0;
    for (int64_t i = p; i < cols; i += kPartials) {
      const float value = ToFloat(x[i]);
      sum = fmaf(value, value, sum);
    }
    partial[p] = sum;
  }
  for (int half = kPartials / 2; half > 0; half /= 2) {
    __syncthreads();
    if (p < half) partial[p] += partial[p + half];
  }
  __syncthreads();
  return 1.0f / sqrtf(partial[0] / static_cast<float>(cols) + eps);
}

template <class X, class O>
__global__ void RmsNormKernel(RmsNormArgs args) {
  const X* x = args.x.row<X>(blockIdx.x);
  O* out = args.out.row<O>(blockIdx.x);
  const float inverse = InverseRms(x, args.x.cols, args.eps);
  for (int64_t i = threadIdx.x; i < args.x.cols; i += kThreads) {
    out[i] = FromFloat<O>(ToFloat(x[i]) * inverse * args.weight[i]);
  }
}

template <class X, class R, class O>
__global__ void AddRmsNormKernel(AddRmsNormArgs args) {
  const X* x = args.x.row<X>(blockIdx.x);
  R* residual = args.residual.row<R>(blockIdx.x);
  O* out = args.out.row<O>(blockIdx.x);
  for (int64_t i = threadIdx.x; i < args.x.cols; i += kThreads) {
    residual[i] = FromFloat<R>(ToFloat(residual[i]) + ToFloat(x[i]));
  }
  const float inverse = InverseRms(residual, args.x.cols, args.eps);
  for (int64_t i = threadIdx.x; i < args.x.cols; i += kThreads) {
    out[i] = FromFloat<O>(ToFloat(residual[i]) * inverse * args.weight[i]);
  }
}

template <class A, class B>
__global__ void AddKernel(AddArgs args) {
  A* a = args.a.row<A>(blockIdx.x);
  const B* b = args.b.row<B>(blockIdx.x);
  for (int64_t i = threadIdx.x; i < args.a.cols; i += kThreads) a[i] = FromFloat<A>(ToFloat(a[i]) + ToFloat(b[i]));
}

template <class X, class O>
__global__ void SwiGluKernel(SwiGluArgs args) {
  if (args.row_count != nullptr && static_cast<int64_t>(blockIdx.x) >= *args.row_count) return;
  const X* gate = args.gate_up.row<X>(blockIdx.x);
  const X* up = gate + args.gate_up.cols / 2;
  O* out = args.out.row<O>(blockIdx.x);
  for (int64_t i = threadIdx.x; i < args.out.cols; i += kThreads) {
    const float g = ToFloat(gate[i]);
    out[i] = FromFloat<O>(g / (1.0f + Exp(0.0f - g)) * ToFloat(up[i]));
  }
}

// T has the size of an element.
template <class T>
__global__ void CopyRowsKernel(CopyRowsArgs args) {
  const T* from = args.x.row<T>(args.index != nullptr ? args.index[blockIdx.x] : static_cast<int64_t>(blockIdx.x));
  T* to = args.out.row<T>(blockIdx.x);
  for (int64_t i = threadIdx.x; i < args.out.cols; i += kThreads) to[i] = from[i];
}

}  // namespace

void Embedding(const EmbeddingArgs& args, const Execution& execution) {
  if (args.out.rows == 0) return;
  DispatchActivation(args.table_type, [&](auto table) {
    DispatchActivation(args.out.type, [&](auto out) {
      DR_LAUNCH((EmbeddingKernel<decltype(table), decltype(out)>), dim3(args.out.rows), dim3(kThreads), execution, args);
    });
  });
}

void RmsNorm(const RmsNormArgs& args, const Execution& execution) {
  if (args.x.rows == 0) return;
  DispatchActivation(args.x.type, [&](auto x) {
    DispatchActivation(args.out.type, [&](auto out) {
      DR_LAUNCH((RmsNormKernel<decltype(x), decltype(out)>), dim3(args.x.rows), dim3(kThreads), execution, args);
    });
  });
}

void AddRmsNorm(const AddRmsNormArgs& args, const Execution& execution) {
  if (args.x.rows == 0) return;
  DispatchActivation(args.x.type, [&](auto x) {
    DispatchActivation(args.residual.type, [&](auto residual) {
      DispatchActivation(args.out.type, [&](auto out) {
        DR_LAUNCH((AddRmsNormKernel<decltype(x), decltype(residual), decltype(out)>), dim3(args.x.rows), dim3(kThreads),
                  execution, args);
      });
    });
  });
}

void Add(const AddArgs& args, const Execution& execution) {
  if (args.a.rows == 0) return;
  DispatchActivation(args.a.type, [&](auto a) {
    DispatchActivation(args.b.type, [&](auto b) {
      DR_LAUNCH((AddKernel<decltype(a), decltype(b)>), dim3(args.a.rows), dim3(kThreads), execution, args);
    });
  });
}

void SwiGlu(const SwiGluArgs& args, const Execution& execution) {
  if (args.out.rows == 0) return;
  DispatchActivation(args.gate_up.type, [&](auto x) {
    DispatchActivation(args.out.type, [&](auto out) {
      DR_LAUNCH((SwiGluKernel<decltype(x), decltype(out)>), dim3(args.out.rows), dim3(kThreads), execution, args);
    });
  });
}

void CopyRows(const CopyRowsArgs& args, const Execution& execution) {
  if (args.out.rows == 0) return;
  if (SizeOf(args.out.type) == sizeof(uint16_t)) {
    DR_LAUNCH((CopyRowsKernel<uint16_t>), dim3(args.out.rows), dim3(kThreads), execution, args);
  } else {
    DR_LAUNCH((CopyRowsKernel<uint32_t>), dim3(args.out.rows), dim3(kThreads), execution, args);
  }
}

}  // namespace deeprack::kernels::plain
