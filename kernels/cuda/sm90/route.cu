#include "kernels/cuda/sm90/route.h"

#include "base/check.h"
#include "kernels/cuda/sm90/reduce.h"

namespace deeprack::kernels::sm90 {
namespace {

constexpr int kThreads = 256;

// True when (value a, index i) comes before (value b, index j): the larger value first (ties: the lower
// index), NaN last.
__device__ inline bool Before(float a, int i, float b, int j) {
  if (a > b || (b != b && a == a)) return true;
  if (b > a || (a != a && b == b)) return false;
  return i < j;
}

// The first of the warp's candidates, on every lane. An index below 0 is no candidate.
__device__ inline int FirstOfWarp(float value, int index) {
  for (int mask = kWarp / 2; mask > 0; mask /= 2) {
    const float other = __shfl_xor_sync(0xffffffffu, value, mask);
    const int at = __shfl_xor_sync(0xffffffffu, index, mask);
    if (at >= 0 && (index < 0 || Before(other, at, value, index))) {
      value = other;
      index = at;
    }
  }
  return index;
}

// One warp for each token. Lane l holds the experts [l * kPerLane, (l + 1) * kPerLane).
template <int kPerLane>
__global__ void GateKernel(GateArgs args) {
  BeginKernel();
  const int64_t token = int64_t{blockIdx.x} * (kThreads / kWarp) + threadIdx.x / kWarp;
  if (token >= args.m) return;
  const int lane = threadIdx.x % kWarp, first = lane * kPerLane;
  if (args.row_count != nullptr && token >= *args.row_count) {
    if (lane < args.top_k) {
      args.ids[token * args.top_k + lane] = -1;
      args.weights[token * args.top_k + lane] = 0.0f;
    }
    return;
  }
  float scores[kPerLane], biased[kPerLane];
  // The two best values of the lane's experts, then of the lane's group.
  float best = -INFINITY, second = -INFINITY;
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    scores[i] = 1.0f / (1.0f + expf(-args.logits[token * args.experts + first + i]));
    biased[i] = args.bias != nullptr ? scores[i] + args.bias[first + i] : scores[i];
    second = fmaxf(second, fminf(best, biased[i]));
    best = fmaxf(best, biased[i]);
  }
  const int lanes_of_group = kWarp / static_cast<int>(args.n_group);
  for (int mask = 1; mask < lanes_of_group; mask *= 2) {
    const float other = __shfl_xor_sync(0xffffffffu, best, mask);
    const float other_second = __shfl_xor_sync(0xffffffffu, second, mask);
    second = fmaxf(fmaxf(second, other_second), fminf(best, other));
    best = fmaxf(best, other);
  }
  const float of_group = lanes_of_group * kPerLane > 1 ? best + second : best;
  const int group = lane / lanes_of_group;
  bool open = false;  // true: the lane's experts may be chosen
  bool taken = false;
  for (int64_t g = 0; g < args.topk_group; ++g) {
    const int chosen = FirstOfWarp(of_group, taken ? -1 : group);
    if (chosen == group) open = taken = true;
  }

  uint32_t chosen_here = open ? 0u : ~0u;  // one bit for each of the lane's experts
  float sum = 0.0f, score = 0.0f;          // score: the score of the choice that this lane writes
  int id = 0;
  for (int64_t c = 0; c < args.top_k; ++c) {
    float value = 0.0f;
    int index = -1;
#pragma unroll
    for (int i = 0; i < kPerLane; ++i) {
      if ((chosen_here >> i & 1u) == 0 && (index < 0 || Before(biased[i], first + i, value, index))) {
        value = biased[i];
        index = first + i;
      }
    }
    const int expert = FirstOfWarp(value, index);
    float mine = 0.0f;
#pragma unroll
    for (int i = 0; i < kPerLane; ++i) {
      if (expert == first + i) {
        chosen_here |= 1u << i;
        mine = scores[i];
      }
    }
    const float of_chosen = Shuffle(mine, expert / kPerLane);
    sum += of_chosen;
    if (lane == c) {
      score = of_chosen;
      id = expert;
    }
  }
  if (lane < args.top_k) {
    args.ids[token * args.top_k + lane] = id;
    args.weights[token * args.top_k + lane] =
        score * (args.routed_scaling_factor / (args.norm_topk_prob ? sum + 1e-20f : 1.0f));
  }
}

// One block for each expert. The block counts the pairs of the experts before its own and gives its own pairs
// their rows.
__global__ void GroupByExpertKernel(GroupByExpertArgs args) {
  BeginKernel();
  const int64_t pairs = args.m * args.top_k;
  const int expert = static_cast<int>(blockIdx.x);
  // Two walks: the rows before this expert's, then its own.
  int before = 0;
  for (int64_t p = threadIdx.x; p < pairs; p += kThreads) {
    const int64_t local = args.ids[p] - args.expert_begin;
    before += local >= 0 && local < expert;
  }
  // fp32 sums of fewer than 2^24 pairs are exact.
  const int base = static_cast<int>(BlockSum<kThreads>(static_cast<float>(before)));
  int count = 0;
  for (int64_t begin = 0; begin < pairs; begin += kThreads) {
    const int64_t p = begin + threadIdx.x;
    const bool mine = p < pairs && args.ids[p] == args.expert_begin + expert;
    const int earlier = count;
    const int row = base + earlier + PlaceAmong<kThreads>(mine, count);
    if (mine) {
      args.row_index[row] = static_cast<int32_t>(p / args.top_k);
      args.pair_to_row[p] = row;
    } else if (expert == 0 && p < pairs) {
      const int64_t local = args.ids[p] - args.expert_begin;
      if (local < 0 || local >= args.experts) args.pair_to_row[p] = -1;
    }
  }
  if (threadIdx.x != 0) return;
  args.offsets[expert] = base;
  if (expert + 1 == args.experts) args.offsets[args.experts] = base + count;
}

__device__ inline void AddEight(float (&sums)[8], const bf16* from, float weight) {
  const Words4 words = *reinterpret_cast<const Words4*>(from);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    sums[2 * i] = fmaf(weight, ToFloat(bf16{static_cast<uint16_t>(words.w[i])}), sums[2 * i]);
    sums[2 * i + 1] = fmaf(weight, ToFloat(bf16{static_cast<uint16_t>(words.w[i] >> 16)}), sums[2 * i + 1]);
  }
}

__device__ inline void AddEight(float (&sums)[8], const float* from, float weight) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const Floats4 four = *reinterpret_cast<const Floats4*>(from + 4 * half);
#pragma unroll
    for (int i = 0; i < 4; ++i) sums[4 * half + i] = fmaf(weight, four.f[i], sums[4 * half + i]);
  }
}

// blockIdx.x is the token. A thread takes 8 columns.
template <class Y, class O>
__global__ void CombineKernel(CombineArgs args) {
  BeginKernel();
  const int64_t token = blockIdx.x;
  for (int64_t column = int64_t{threadIdx.x} * 8; column < args.out.cols; column += kThreads * 8) {
    float sums[8] = {};
    if (args.add.data != nullptr) AddEight(sums, args.add.row<Y>(token) + column, 1.0f);
    for (int64_t c = 0; c < args.top_k; ++c) {
      const int32_t row = args.pair_to_row[token * args.top_k + c];
      if (row >= 0) AddEight(sums, args.y.row<Y>(row) + column, args.weights[token * args.top_k + c]);
    }
    O* const out = args.out.row<O>(token) + column;
#pragma unroll
    for (int i = 0; i < 8; ++i) out[i] = FromFloat<O>(sums[i]);
  }
}

}  // namespace

const char* WhyNotGate(int64_t experts, int64_t n_group, int64_t top_k) {
  if (experts != 32 && experts != 64 && experts != 128 && experts != 256)
    return "its experts are not 32, 64, 128 or 256";
  if (n_group < 1 || n_group > kWarp || kWarp % n_group != 0) return "its groups do not divide 32";
  if (top_k > kWarp) return "it chooses more than 32 experts";
  return nullptr;
}

void Gate(const GateArgs& args, const Execution& execution) {
  DR_CHECK(WhyNotGate(args.experts, args.n_group, args.top_k) == nullptr);
  if (args.m == 0) return;
  const dim3 grid(static_cast<unsigned>((args.m + kThreads / kWarp - 1) / (kThreads / kWarp)));
  switch (args.experts) {
    case 32:
      Launch(&GateKernel<1>, grid, kThreads, execution, args);
      break;
    case 64:
      Launch(&GateKernel<2>, grid, kThreads, execution, args);
      break;
    case 128:
      Launch(&GateKernel<4>, grid, kThreads, execution, args);
      break;
    default:
      Launch(&GateKernel<8>, grid, kThreads, execution, args);
  }
}

const char* WhyNotGroupByExpert(const GroupByExpertArgs& args) {
  return args.m * args.top_k < int64_t{1} << 24 ? nullptr : "there are 2^24 pairs or more";
}

void GroupByExpert(const GroupByExpertArgs& args, const Execution& execution) {
  DR_CHECK(WhyNotGroupByExpert(args) == nullptr);
  if (args.experts == 0) return;
  Launch(&GroupByExpertKernel, dim3(static_cast<unsigned>(args.experts)), kThreads, execution, args);
}

const char* WhyNotCombine(const CombineArgs& args) {
  const bool adds = args.add.data != nullptr;
  if (adds && args.add.type != args.y.type) return "what it adds to is of another type than the rows";
  if (args.out.cols % 8 != 0 || args.out.stride % 8 != 0 || args.y.stride % 8 != 0 ||
      (adds && args.add.stride % 8 != 0)) {
    return "its columns or strides are no multiples of 8";
  }
  return nullptr;
}

void Combine(const CombineArgs& args, const Execution& execution) {
  DR_CHECK(WhyNotCombine(args) == nullptr);
  if (args.out.rows == 0) return;
  DispatchActivation(args.y.type, [&](auto y) {
    DispatchActivation(args.out.type, [&](auto out) {
      Launch(&CombineKernel<decltype(y), decltype(out)>, dim3(static_cast<unsigned>(args.out.rows)), kThreads,
             execution, args);
    });
  });
}

}  // namespace deeprack::kernels::sm90
