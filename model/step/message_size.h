// Bounds on the bytes that steps and their results take as messages. The scheduler keeps each step within
// them, so that no plan and no result is refused by its receiver.
#pragma once

#include <cstdint>

#include "model/step/speculation.h"

namespace deeprack::model {

// The largest message between coordinator and ranks, in bytes. Both ends of every connection set it.
inline constexpr int64_t kMostMessageBytes = int64_t{64} << 20;

// A token id, a page of a block table, or another number of one sequence.
inline constexpr int64_t kMostIdBytes = 5;

// What a plan has for each sequence with rows, apart from pages: slot, rows, drafts, and the heads of two
// page changes.
inline constexpr int64_t kMostRowsBytes = 64;

// A plan's header, with the numbers of rows and of drafting sequences of `dp` groups.
constexpr int64_t MostHeaderBytes(int64_t dp) {
  return 96 + (1 + kMostSpeculativeTokens) * dp * kMostIdBytes;
}

// A sequence that a plan opens, with its pages. `constraint`: MostConstraintBytes; 0: it has none.
constexpr int64_t MostOpenedBytes(int64_t tokens, int64_t pages, int64_t biases, int64_t stop_tokens,
                                  int64_t constraint = 0) {
  constexpr int64_t kFields = 192, kBias = 13;
  return kFields + (tokens + pages + stop_tokens) * kMostIdBytes + biases * kBias + constraint;
}

// A sequence's constraint: `texts` bytes of text, and token ids.
constexpr int64_t MostConstraintBytes(int64_t texts, int64_t tokens) {
  constexpr int64_t kFields = 64;
  return kFields + texts + tokens * kMostIdBytes;
}

// The log-probabilities of one position in a result: the chosen token's and the `top` likeliest ones.
constexpr int64_t MostPositionLogprobsBytes(int64_t top) {
  constexpr int64_t kFields = 8, kEntry = 13;
  return kFields + (1 + top) * kEntry;
}

// A sequence's share of a result without its prompt's log-probabilities. `top` as
// SamplingParams::top_logprobs; `drafts` as SequenceRows::drafts.
constexpr int64_t MostSequenceResultBytes(int64_t top, int64_t drafts = 0) {
  constexpr int64_t kFields = 48;
  return kFields + drafts * kMostIdBytes + (1 + drafts) * MostPositionLogprobsBytes(top < 0 ? 0 : top);
}

}  // namespace deeprack::model
