// The check of logits, sampling and log probabilities: the passes over the whole vocabulary. Floor: one read
// of the logits, and for sampling one write and one read of their exponentials, all in the L2 cache.
#include "kernels/cpu/backend.h"
#include "kernels/cpu/draw.h"
#include "kernels/cpu/simd.h"
#include "kernels/draw/mass.h"

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

TokenId FirstWith(const float* logits, int64_t vocab, float largest) {
  for (int64_t i = 0; i < vocab; ++i) {
    if (logits[i] == largest) return static_cast<TokenId>(i);
  }
  return 0;  // every logit is NaN
}

TokenId SampleRow(const float* logits, int64_t vocab, const Draw& draw) {
  const float largest = Largest(logits, vocab);
  if (draw.temperature < kGreedyTemperature || largest == -__builtin_inff()) {
    return FirstWith(logits, vocab, largest);
  }
  float* weights = static_cast<float*>(Scratch(kTaskTile, (vocab + 16) * int64_t{sizeof(float)}));
  const F16 inverse = Set1(1.0f / draw.temperature);
  for (int64_t i = 0; i < vocab; i += 16) {
    const F16 logit = LoadFirst(logits + i, vocab - i);
    Store(weights + i, Exp(Mul(Sub(logit, Set1(largest)), inverse)));
  }
  const TokenId token = DrawToken(weights, vocab, draw);
  return token >= 0 ? token : FirstWith(logits, vocab, largest);
}

bool IsFinite(float logit) { return (FloatToBits(logit) & 0x7f800000u) != 0x7f800000u; }

// A block is checked by a sum, and searched only if the sum says so: x - x is 0 for a finite x and NaN
// otherwise.
TokenId FirstNonFinite(const float* logits, int64_t vocab) {
  constexpr int64_t kBlock = 1024;
  for (int64_t begin = 0; begin < vocab; begin += kBlock) {
    const int64_t end = Lower(vocab, begin + kBlock);
    F16 sum = Set1(0.0f);
    int64_t i = begin;
    for (; i + 16 <= end; i += 16) {
      const F16 logit = Load(logits + i);
      sum = Add(sum, Sub(logit, logit));
    }
    if (SumLanes(sum) != 0.0f) i = begin;  // true for NaN
    for (; i < end; ++i) {
      if (!IsFinite(logits[i])) return static_cast<TokenId>(i);
    }
  }
  return -1;
}

// log of the sum of exponentials.
double LogSum(const float* logits, int64_t vocab) {
  constexpr int64_t kBlock = 1024;  // summed in float by lanes; blocks are summed in double
  const float largest = Largest(logits, vocab);
  double sum = 0;
  for (int64_t begin = 0; begin < vocab; begin += kBlock) {
    const int64_t end = Lower(vocab, begin + kBlock);
    F16 block = Set1(0.0f);
    int64_t i = begin;
    for (; i + 16 <= end; i += 16) block = Add(block, Exp(Sub(Load(logits + i), Set1(largest))));
    if (i < end) {
      float lanes[16];
      for (int64_t j = 0; j < 16; ++j) lanes[j] = i + j < end ? logits[i + j] : -__builtin_inff();
      block = Add(block, Exp(Sub(Load(lanes), Set1(largest))));
    }
    sum += static_cast<double>(SumLanes(block));
  }
  return static_cast<double>(largest) + __builtin_log(sum);
}

}  // namespace

void FindNonFinite(const FindNonFiniteArgs& args, const Execution& execution) {
  ParallelFor(execution, args.logits.rows, [&args](int64_t row) {
    args.tokens[row] = FirstNonFinite(args.logits.row<float>(row), args.logits.cols);
  });
}

void Sample(const SampleArgs& args, const Execution& execution) {
  ParallelFor(execution, args.logits.rows, [&args](int64_t row) {
    args.tokens[row] = SampleRow(args.logits.row<float>(row), args.logits.cols, args.draws[row]);
  });
}

void Logprobs(const LogprobsArgs& args, const Execution& execution) {
  ParallelFor(execution, args.m, [&args](int64_t i) {
    const ScoredRow& scored = args.rows[i];
    const float* const logits = args.logits.row<float>(scored.row);
    const TokenId token = scored.token >= 0 ? scored.token : args.drawn[scored.row];
    const double log_sum = LogSum(logits, args.logits.cols);
    args.logprobs[i] = static_cast<float>(static_cast<double>(logits[token]) - log_sum);
    float* const top = args.top_logprobs + scored.first_top;
    LargestLogits(logits, args.logits.cols, scored.num_top, args.top_ids + scored.first_top, top);
    for (int32_t j = 0; j < scored.num_top; ++j) {
      top[j] = static_cast<float>(static_cast<double>(top[j]) - log_sum);
    }
  });
}

}  // namespace deeprack::kernels::DEEPRACK_SIMD
