// Drawing a token from logits. Order: logit bias, penalties, temperature, top-k, top-p, min-p, draw.
#pragma once

#include <cstdint>

#include "base/ids.h"

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

// Adds biases; then for tokens that occurred: logit = logit > 0 ? logit / repetition : logit * repetition,
// minus frequency * in_output, minus presence if in_output > 0. Tokens outside the vocabulary are ignored.
struct AdjustLogitsArgs {
  float* logits = nullptr;  // [vocab], updated
  int64_t vocab = 0;
  const LogitBias* biases = nullptr;
  int64_t num_biases = 0;
  const LogitPenaltyCount* counts = nullptr;
  int64_t num_counts = 0;
  float presence_penalty = 0;
  float frequency_penalty = 0;
  float repetition_penalty = 1;
};

// The random number of a draw is Philox4x32-10 (Salmon et al., SC 2011) keyed by seed, counter = position: no
// state. top_k keeps the likeliest k; top_p the smallest set of those with at least that share of their mass;
// min_p those of at least that share of the likeliest one's probability. Among equals the lower id comes
// first.
struct SampleArgs {
  const float* logits = nullptr;  // [vocab], after AdjustLogits
  int64_t vocab = 0;
  float temperature = 1;  // below 1e-5: the largest logit, lowest id among equals
  int32_t top_k = 0;
  float top_p = 1;
  float min_p = 0;
  uint64_t seed = 0;
  uint64_t position = 0;
};

// log softmax of the raw logits at `token`, and the `num_top` best (ties: the lower id), best first.
struct LogprobsArgs {
  const float* logits = nullptr;  // [vocab]
  int64_t vocab = 0;
  TokenId token = 0;
  int32_t num_top = 0;
  float* logprob = nullptr;       // out
  TokenId* top_ids = nullptr;     // out [num_top]
  float* top_logprobs = nullptr;  // out [num_top]
};

}  // namespace deeprack::kernels
