// Bounds on the bytes that step plans and step results take as messages. The scheduler keeps each step within
// them, so that no plan and no result is refused by its receiver.
#pragma once

#include <cstdint>

namespace deeprack::model {

// The largest message between coordinator and ranks, in bytes. Both ends of every connection set it.
inline constexpr int64_t kMostMessageBytes = int64_t{64} << 20;

// A token id of a chunk, or a page of a block table.
inline constexpr int64_t kMostIdBytes = 5;

// One sequence's share of a plan, without the tokens of its chunk. `token_counts`: entries of
// SequencePlan::token_counts, `biases`: of SamplingParams::logit_bias.
constexpr int64_t MostSequencePlanBytes(int64_t pages, int64_t token_counts, int64_t biases) {
  constexpr int64_t kFields = 192, kCount = 20, kBias = 13;
  return kFields + pages * kMostIdBytes + token_counts * kCount + biases * kBias;
}

// A plan's own fields.
inline constexpr int64_t kMostPlanHeaderBytes = 32;

// The log-probabilities of one position in a result: the chosen token's and the `top` likeliest ones.
constexpr int64_t MostPositionLogprobsBytes(int64_t top) {
  constexpr int64_t kFields = 8, kEntry = 13;
  return kFields + (1 + top) * kEntry;
}

// A sequence's share of a result without its prompt's log-probabilities. `top` as
// SamplingParams::top_logprobs.
constexpr int64_t MostSequenceResultBytes(int64_t top) {
  constexpr int64_t kFields = 48;
  return kFields + MostPositionLogprobsBytes(top < 0 ? 0 : top);
}

}  // namespace deeprack::model
