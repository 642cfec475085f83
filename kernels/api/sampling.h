// Drawing tokens from rows of logits. Order: logit bias, penalties, temperature, top-k, top-p, min-p, draw.
// Pointers are to memory where the kernels run, also those to tables of rows.
#pragma once

#include <cstdint>

#include "base/ids.h"
#include "kernels/api/matrix.h"

namespace deeprack::kernels {

struct LogitBias {
  TokenId token = 0;
  float bias = 0;
};

struct LogitPenaltyCount {
  TokenId token = 0;
  int32_t in_prompt = 0;
  int32_t in_output = 0;
};

// What changes one row: runs of the biases and the counts.
struct LogitAdjustment {
  int32_t first_bias = 0;
  int32_t num_biases = 0;
  int32_t first_count = 0;
  int32_t num_counts = 0;
  float presence_penalty = 0;
  float frequency_penalty = 0;
  float repetition_penalty = 1;
};

// Adds biases; then for tokens that occurred: logit = logit > 0 ? logit / repetition : logit * repetition,
// minus frequency * in_output, minus presence if in_output > 0. A run names a token once; tokens outside the
// vocabulary are ignored.
struct AdjustLogitsArgs {
  Matrix logits;                          // fp32 [m, vocab], updated
  const LogitAdjustment* rows = nullptr;  // [m]
  const LogitBias* biases = nullptr;
  const LogitPenaltyCount* counts = nullptr;
};

// How one row is drawn from. The random number is Philox4x32-10 (Salmon et al., SC 2011) keyed by seed,
// counter = position: no state. top_k keeps the likeliest k; top_p the smallest set of those with at least
// that share of their mass; min_p those of at least that share of the likeliest one's probability. Among
// equals the lower id comes first.
struct Draw {
  float temperature = 1;  // below 1e-5: the largest logit, lowest id among equals
  int32_t top_k = 0;
  float top_p = 1;
  float min_p = 0;
  uint64_t seed = 0;
  uint64_t position = 0;
};

// Every backend draws the same tokens from the same logits, bit for bit: weights come from one polynomial for
// exp, and their sums are whole numbers (kernels/draw/mass.h).
struct SampleArgs {
  Matrix logits;                // fp32 [m, vocab], after AdjustLogits
  const Draw* draws = nullptr;  // [m]
  TokenId* tokens = nullptr;    // out [m]
};

// A row whose tokens' log-probabilities are asked for.
struct ScoredRow {
  int32_t row = 0;        // of the logits
  TokenId token = 0;      // -1: the one that was drawn for this row
  int32_t num_top = 0;    // of the likeliest tokens
  int32_t first_top = 0;  // where they go
};

// log softmax of the raw logits at a token, and the `num_top` best (ties: the lower id), best first; -1 and
// -infinity when there are fewer.
struct LogprobsArgs {
  Matrix logits;                    // fp32 [.., vocab]
  const ScoredRow* rows = nullptr;  // [m]
  int64_t m = 0;
  const TokenId* drawn = nullptr;  // by row of the logits
  float* logprobs = nullptr;       // out [m]
  TokenId* top_ids = nullptr;      // out, entry i's at first_top on
  float* top_logprobs = nullptr;   // out
};

}  // namespace deeprack::kernels
