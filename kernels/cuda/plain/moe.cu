// Routing and the movement of rows to experts and back, plain.
#include "base/check.h"
#include "kernels/cuda/plain/device.h"
#include "kernels/cuda/plain/operations.h"

namespace deeprack::kernels::plain {
namespace {

constexpr int kThreads = 256;
constexpr int kMaxExperts = 1024;
constexpr int kMaxGroups = 64;

// The index of the largest of values[0, count), the lowest among equals, on every thread.
// Holds barriers; every thread of the block must call it.
__device__ inline int BlockArgMax(const float* values, int count) {
  __shared__ float best_value[kThreads];
  __shared__ int best_index[kThreads];
  int index = threadIdx.x < static_cast<unsigned>(count) ? static_cast<int>(threadIdx.x) : 0;
  for (int i = threadIdx.x; i < count; i += kThreads) {
    if (values[i] > values[index]) index = i;
  }
  __syncthreads();  // the last call's readers are done
  best_value[threadIdx.x] = values[index];
  best_index[threadIdx.x] = index;
  __syncthreads();
  for (int half = kThreads / 2; half > 0; half /= 2) {
    if (static_cast<int>(threadIdx.x) < half) {
      const int other = threadIdx.x + half;
      const bool larger = best_value[other] > best_value[threadIdx.x];
      const bool tie = best_value[other] == best_value[threadIdx.x] && best_index[other] < best_index[threadIdx.x];
      if (larger || tie) {
        best_value[threadIdx.x] = best_value[other];
        best_index[threadIdx.x] = best_index[other];
      }
    }
    __syncthreads();
  }
  return best_index[0];
}

// One block a token.
__global__ void GateKernel(GateArgs args) {
  __shared__ float scores[kMaxExperts];
  __shared__ float biased[kMaxExperts];
  __shared__ float groups[kMaxGroups];
  __shared__ bool stays[kMaxGroups];
  const int64_t token = blockIdx.x;
  const int experts = static_cast<int>(args.experts);
  const int group_size = static_cast<int>(args.experts / args.n_group);
  for (int e = threadIdx.x; e < experts; e += kThreads) {
    scores[e] = 1.0f / (1.0f + expf(-args.logits[token * experts + e]));
    biased[e] = scores[e] + args.bias[e];
  }
  __syncthreads();
  if (args.topk_group < args.n_group) {
    for (int g = threadIdx.x; g < args.n_group; g += kThreads) {
      float first = -INFINITY;
      float second = -INFINITY;
      for (int e = g * group_size; e < (g + 1) * group_size; ++e) {
        const float value = biased[e];
        second = fmaxf(second, fminf(first, value));
        first = fmaxf(first, value);
      }
      groups[g] = group_size > 1 ? first + second : first;
      stays[g] = false;
    }
    __syncthreads();
    for (int64_t i = 0; i < args.topk_group; ++i) {
      const int g = BlockArgMax(groups, static_cast<int>(args.n_group));
      __syncthreads();
      if (threadIdx.x == 0) {
        stays[g] = true;
        groups[g] = -INFINITY;
      }
      __syncthreads();
    }
    for (int e = threadIdx.x; e < experts; e += kThreads) {
      if (!stays[e / group_size]) biased[e] = -INFINITY;
    }
    __syncthreads();
  }
  float sum = 0;
  for (int64_t c = 0; c < args.top_k; ++c) {
    const int e = BlockArgMax(biased, experts);
    sum += scores[e];
    __syncthreads();
    if (threadIdx.x == 0) {
      args.ids[token * args.top_k + c] = e;
      biased[e] = -INFINITY;
    }
    __syncthreads();
  }
  const float scale = args.routed_scaling_factor / (args.norm_topk_prob ? sum + 1e-20f : 1.0f);
  for (int64_t c = threadIdx.x; c < args.top_k; c += kThreads) {
    args.weights[token * args.top_k + c] = scores[args.ids[token * args.top_k + c]] * scale;
  }
}

// One block. Thread e counts expert e, thread 0 sums the counts, thread e places its pairs: in token order, no atomics.
__global__ void GroupByExpertKernel(GroupByExpertArgs args) {
  const int64_t pairs = args.m * args.top_k;
  for (int64_t p = threadIdx.x; p < pairs; p += kMaxExperts) args.pair_to_row[p] = -1;
  const int expert = static_cast<int>(threadIdx.x);
  const bool mine = expert < args.experts;
  const int wanted = static_cast<int>(args.expert_begin) + expert;
  int count = 0;
  for (int64_t p = 0; mine && p < pairs; ++p) count += args.ids[p] == wanted;
  if (mine) args.offsets[expert + 1] = count;
  __syncthreads();
  if (expert == 0) {
    args.offsets[0] = 0;
    for (int64_t e = 0; e < args.experts; ++e) args.offsets[e + 1] += args.offsets[e];
  }
  __syncthreads();
  if (!mine) return;
  int row = args.offsets[expert];
  for (int64_t p = 0; p < pairs; ++p) {
    if (args.ids[p] != wanted) continue;
    args.row_index[row] = static_cast<int32_t>(p / args.top_k);
    args.pair_to_row[p] = row++;
  }
}

template <class Y, class A, class O>
__global__ void CombineKernel(CombineArgs args) {
  const int64_t token = blockIdx.x;
  for (int64_t i = threadIdx.x; i < args.out.cols; i += kThreads) {
    float sum = args.add.data ? ToFloat(args.add.row<A>(token)[i]) : 0.0f;
    for (int64_t c = 0; c < args.top_k; ++c) {
      const int32_t row = args.pair_to_row[token * args.top_k + c];
      if (row >= 0) sum = fmaf(args.weights[token * args.top_k + c], ToFloat(args.y.row<Y>(row)[i]), sum);
    }
    args.out.row<O>(token)[i] = FromFloat<O>(sum);
  }
}

}  // namespace

void Gate(const GateArgs& args, const Execution& execution) {
  if (args.m == 0) return;
  DR_CHECK(args.experts <= kMaxExperts && args.n_group <= kMaxGroups);
  DR_LAUNCH(GateKernel, dim3(args.m), dim3(kThreads), execution, args);
}

void GroupByExpert(const GroupByExpertArgs& args, const Execution& execution) {
  DR_CHECK(args.experts <= kMaxExperts);
  DR_LAUNCH(GroupByExpertKernel, dim3(1), dim3(kMaxExperts), execution, args);
}

void Combine(const CombineArgs& args, const Execution& execution) {
  if (args.out.rows == 0) return;
  DispatchActivation(args.y.type, [&](auto y) {
    DispatchActivation(args.add.type, [&](auto add) {
      DispatchActivation(args.out.type, [&](auto out) {
        DR_LAUNCH((CombineKernel<decltype(y), decltype(add), decltype(out)>), dim3(args.out.rows), dim3(kThreads), execution,
                  args);
      });
    });
  });
}

}  // namespace deeprack::kernels::plain
