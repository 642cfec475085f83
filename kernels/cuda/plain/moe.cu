// The choice of experts, the grouping of rows by expert, and the sum of the experts' outputs, plain.
#include "base/check.h"
#include "kernels/cuda/plain/device.h"
#include "kernels/cuda/plain/operations.h"

namespace deeprack::kernels::plain {
namespace {

constexpr int kThreads = 256;
constexpr int kMaxExperts = 1024;
constexpr int kMaxGroups = 64;

// True if a comes before b: the larger value is first, and NaN is last.
__device__ inline bool Above(float a, float b) { return a > b || (b != b && a == a); }

// Returns to every thread the index of the largest of the values[0, count) that are not taken (among equals
// the lowest index), and marks it as taken. At least one value must be left. Has barriers, so every thread of
// the block must call it.
__device__ inline int TakeBest(const float* values, bool* taken, int count) {
  __shared__ int best[kThreads];  // -1: this thread has no value
  int index = -1;
  for (int i = threadIdx.x; i < count; i += kThreads) {
    if (!taken[i] && (index < 0 || Above(values[i], values[index]))) index = i;
  }
  __syncthreads();  // all threads have read the result of the last call
  best[threadIdx.x] = index;
  __syncthreads();
  for (int half = kThreads / 2; half > 0; half /= 2) {
    if (static_cast<int>(threadIdx.x) < half) {
      const int mine = best[threadIdx.x];
      const int other = best[threadIdx.x + half];
      const bool better = other >= 0 && (mine < 0 || Above(values[other], values[mine]) ||
                                         (!Above(values[mine], values[other]) && other < mine));
      if (better) best[threadIdx.x] = other;
    }
    __syncthreads();
  }
  const int taking = best[0];
  if (threadIdx.x == 0) taken[taking] = true;
  __syncthreads();
  return taking;
}

// blockIdx.x is the token.
__global__ void GateKernel(GateArgs args) {
  __shared__ float scores[kMaxExperts];
  __shared__ float biased[kMaxExperts];
  __shared__ bool taken[kMaxExperts];
  __shared__ float groups[kMaxGroups];
  __shared__ bool group_taken[kMaxGroups];
  const int64_t token = blockIdx.x;
  if (args.row_count != nullptr && token >= *args.row_count) {
    for (int64_t c = threadIdx.x; c < args.top_k; c += kThreads) {
      args.ids[token * args.top_k + c] = -1;
      args.weights[token * args.top_k + c] = 0;
    }
    return;
  }
  const int experts = static_cast<int>(args.experts);
  const int n_group = static_cast<int>(args.n_group);
  const int group_size = experts / n_group;
  for (int e = threadIdx.x; e < experts; e += kThreads) {
    scores[e] = 1.0f / (1.0f + Exp(0.0f - args.logits[token * experts + e]));
    biased[e] = args.bias != nullptr ? scores[e] + args.bias[e] : scores[e];
  }
  __syncthreads();
  for (int g = threadIdx.x; g < n_group; g += kThreads) {
    float first = -INFINITY;
    float second = -INFINITY;
    for (int e = g * group_size; e < (g + 1) * group_size; ++e) {
      const float value = biased[e];
      second = fmaxf(second, fminf(first, value));
      first = fmaxf(first, value);
    }
    groups[g] = group_size > 1 ? first + second : first;
    group_taken[g] = false;
  }
  __syncthreads();
  for (int64_t i = 0; i < args.topk_group; ++i) TakeBest(groups, group_taken, n_group);
  // Experts outside the chosen groups are marked as taken.
  for (int e = threadIdx.x; e < experts; e += kThreads) taken[e] = !group_taken[e / group_size];
  __syncthreads();

  float sum = 0;
  for (int64_t c = 0; c < args.top_k; ++c) {
    const int e = TakeBest(biased, taken, experts);
    sum += scores[e];
    if (threadIdx.x == 0) args.ids[token * args.top_k + c] = e;
  }
  __syncthreads();
  for (int64_t c = threadIdx.x; c < args.top_k; c += kThreads) {
    const float score = scores[args.ids[token * args.top_k + c]];
    args.weights[token * args.top_k + c] =
        (args.norm_topk_prob ? score / (sum + 1e-20f) : score) * args.routed_scaling_factor;
  }
}

// One block. Thread e counts the pairs of expert e, thread 0 sums the counts, and thread e gives its pairs
// their rows, in token order. No atomics.
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
