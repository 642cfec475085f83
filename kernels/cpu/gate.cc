// The router's choice of experts (kernels/api/moe.h).
#include "base/check.h"
#include "kernels/cpu/backend.h"
#include "kernels/cpu/simd.h"

namespace deeprack::kernels::DEEPRACK_SIMD {
namespace {

// Takes the largest value that is not taken yet and returns its index (ties: the lower index). Comparisons
// with NaN are false, so a NaN is taken only if no value before it is free. An index is returned while any
// value is free.
int64_t TakeBest(const float* values, uint8_t* taken, int64_t count) {
  int64_t best = -1;
  for (int64_t i = 0; i < count; ++i) {
    if (taken[i] == 0 && (best < 0 || values[i] > values[best])) best = i;
  }
  taken[best] = 1;
  return best;
}

// The sum of a group's two largest values.
float GroupValue(const float* values, int64_t count) {
  float first = values[0], second = -__builtin_inff();
  for (int64_t i = 1; i < count; ++i) {
    if (values[i] > first) {
      second = first;
      first = values[i];
    } else if (values[i] > second) {
      second = values[i];
    }
  }
  return count > 1 ? first + second : first;
}

void GateRow(const GateArgs& args, int64_t row) {
  if (args.row_count != nullptr && row >= *args.row_count) {
    for (int64_t i = row * args.top_k; i < (row + 1) * args.top_k; ++i) {
      args.ids[i] = -1;
      args.weights[i] = 0;
    }
    return;
  }
  const int64_t padded = (args.experts + 15) / 16 * 16;
  float* scores = static_cast<float*>(
      Scratch(kTaskTile, (2 * padded + args.n_group) * int64_t{sizeof(float)} + args.experts + args.n_group));
  float* biased = scores + padded;
  float* group_values = biased + padded;
  uint8_t* taken = reinterpret_cast<uint8_t*>(group_values + args.n_group);
  uint8_t* group_taken = taken + args.experts;

  const float* logits = args.logits + row * args.experts;
  const F16 one = Set1(1.0f);
  for (int64_t e = 0; e < args.experts; e += 16) {
    const int64_t count = args.experts - e;
    const F16 score = Div(one, Add(one, Exp(Sub(Set1(0.0f), LoadFirst(logits + e, count)))));
    Store(scores + e, score);
    Store(biased + e, args.bias != nullptr ? Add(score, LoadFirst(args.bias + e, count)) : score);
  }

  // Experts outside the chosen groups count as taken.
  const int64_t group_size = args.experts / args.n_group;
  __builtin_memset(taken, 1, args.experts);
  __builtin_memset(group_taken, 0, args.n_group);
  for (int64_t g = 0; g < args.n_group; ++g)
    group_values[g] = GroupValue(biased + g * group_size, group_size);
  for (int64_t i = 0; i < args.topk_group; ++i) {
    const int64_t group = TakeBest(group_values, group_taken, args.n_group);
    __builtin_memset(taken + group * group_size, 0, group_size);
  }

  int32_t* ids = args.ids + row * args.top_k;
  float* weights = args.weights + row * args.top_k;
  float sum = 0;
  for (int64_t i = 0; i < args.top_k; ++i) {
    const int64_t expert = TakeBest(biased, taken, args.experts);
    ids[i] = static_cast<int32_t>(expert);
    weights[i] = scores[expert];
    sum += scores[expert];
  }
  for (int64_t i = 0; i < args.top_k; ++i) {
    if (args.norm_topk_prob) weights[i] /= sum + 1e-20f;
    weights[i] *= args.routed_scaling_factor;
  }
}

}  // namespace

void Gate(const GateArgs& args, const Execution& execution) {
  DR_CHECK(args.n_group >= 1 && args.experts % args.n_group == 0);
  DR_CHECK(args.topk_group >= 1 && args.topk_group <= args.n_group);
  DR_CHECK(args.top_k >= 1 && args.top_k <= args.experts / args.n_group * args.topk_group);
  constexpr int64_t kRowsPerTask = 16;
  ParallelFor(execution, (args.m + kRowsPerTask - 1) / kRowsPerTask, [&args](int64_t task) {
    for (int64_t r = task * kRowsPerTask; r < Lower(args.m, (task + 1) * kRowsPerTask); ++r) GateRow(args, r);
  });
}

}  // namespace deeprack::kernels::DEEPRACK_SIMD
