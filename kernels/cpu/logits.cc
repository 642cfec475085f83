// Sampling and log probabilities: the passes over the whole vocabulary. Floor: one read of the logits, and
// for sampling one write and one read of their exponentials, all in the L2 cache.
#include "kernels/cpu/backend.h"
#include "kernels/cpu/draw.h"
#include "kernels/cpu/simd.h"

namespace deeprack::kernels::DEEPRACK_SIMD {
namespace {

// NaN is never the largest.
float Largest(const float* logits, int64_t vocab) {
  const F16 lowest = Set1(-__builtin_inff());
  F16 largest = lowest;
  int64_t i = 0;
  for (; i + 16 <= vocab; i += 16) largest = Max(Load(logits + i), largest);
  float result = MaxLanes(largest);
  for (; i < vocab; ++i) result = logits[i] > result ? logits[i] : result;
  return result;
}

// Below this temperature a draw is the largest logit: one divided by it would not be safely finite.
constexpr float kGreedyTemperature = 1e-5f;

}  // namespace

TokenId Sample(const SampleArgs& args, const Execution& execution) {
  const float largest = Largest(args.logits, args.vocab);
  if (args.temperature < kGreedyTemperature || largest == -__builtin_inff()) {
    for (int64_t i = 0; i < args.vocab; ++i) {
      if (args.logits[i] == largest) return static_cast<TokenId>(i);
    }
    return 0;  // every logit is NaN
  }
  float* weights = static_cast<float*>(Scratch(kCallLogits, (args.vocab + 16) * int64_t{sizeof(float)}));
  const F16 inverse = Set1(1.0f / args.temperature);
  for (int64_t i = 0; i < args.vocab; i += 16) {
    const F16 logit = LoadFirst(args.logits + i, args.vocab - i);
    Store(weights + i, Exp(Mul(Sub(logit, Set1(largest)), inverse)));
  }
  return DrawToken(weights, args);
}

void Logprobs(const LogprobsArgs& args, const Execution& execution) {
  constexpr int64_t kBlock = 1024;  // summed in float by lanes; blocks are summed in double
  const float largest = Largest(args.logits, args.vocab);
  double sum = 0;
  for (int64_t begin = 0; begin < args.vocab; begin += kBlock) {
    const int64_t end = Lower(args.vocab, begin + kBlock);
    F16 block = Set1(0.0f);
    int64_t i = begin;
    for (; i + 16 <= end; i += 16) block = Add(block, Exp(Sub(Load(args.logits + i), Set1(largest))));
    if (i < end) {
      float lanes[16];
      for (int64_t j = 0; j < 16; ++j) lanes[j] = i + j < end ? args.logits[i + j] : -__builtin_inff();
      block = Add(block, Exp(Sub(Load(lanes), Set1(largest))));
    }
    sum += static_cast<double>(SumLanes(block));
  }
  const double log_sum = static_cast<double>(largest) + __builtin_log(sum);
  *args.logprob = static_cast<float>(static_cast<double>(args.logits[args.token]) - log_sum);
  LargestLogits(args.logits, args.vocab, args.num_top, args.top_ids, args.top_logprobs);
  for (int32_t i = 0; i < args.num_top; ++i) {
    args.top_logprobs[i] = static_cast<float>(static_cast<double>(args.top_logprobs[i]) - log_sum);
  }
}

}  // namespace deeprack::kernels::DEEPRACK_SIMD
