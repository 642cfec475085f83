// Draws tokens from rows of logits. Order: check of the raw logits, logit bias, penalties, mask, temperature,
// top-k, top-p, min-p, draw. All pointers point to memory of the device.
#pragma once

#include <cstdint>

#include "base/ids.h"
#include "kernels/api/matrix.h"

namespace deeprack::kernels {

// Finds the rows with an infinity or a NaN. Only raw logits are checked: later steps may set logits to
// -infinity.
struct FindNonFiniteArgs {
  Matrix logits;              // fp32 [m, vocab]
  TokenId* tokens = nullptr;  // out [m]: the lowest token of the row whose logit is not finite; -1: none
};

struct LogitBias {
  TokenId token = 0;
  float bias = 0;
};

struct LogitPenaltyCount {
  TokenId token = 0;
  int32_t in_prompt = 0;
  int32_t in_output = 0;
};

// The changes to one row: runs of AdjustLogitsArgs::biases and counts, and the penalties.
struct LogitAdjustment {
  int32_t first_bias = 0;
  int32_t num_biases = 0;
  int32_t first_count = 0;
  int32_t num_counts = 0;
  float presence_penalty = 0;
  float frequency_penalty = 0;
  float repetition_penalty = 1;
};

// Adds biases. Then changes the logit of each token in `counts`: logit = logit > 0 ? logit /
// repetition_penalty : logit * repetition_penalty; minus frequency_penalty * in_output; minus
// presence_penalty if in_output > 0. A run names a token at most once. Tokens outside the vocabulary are
// ignored.
struct AdjustLogitsArgs {
  Matrix logits;                          // fp32 [m, vocab], updated
  const LogitAdjustment* rows = nullptr;  // [m]
  const LogitBias* biases = nullptr;
  const LogitPenaltyCount* counts = nullptr;
};

// Sets the logits of tokens that may not come next to -infinity.
struct MaskLogitsArgs {
  Matrix logits;                       // fp32 [m, vocab], updated
  const int32_t* row_masks = nullptr;  // [m]: the row's mask, an index into `masks`; -1: every token may come
  // [number of masks, ceil(vocab / 32)]: bit t % 32 of word t / 32 is 1 where token t may come. Bits beyond
  // the vocabulary are ignored.
  const uint32_t* masks = nullptr;
};

// How one row is drawn from. The random number is Philox4x32-10 (Salmon et al., SC 2011) with key = seed and
// counter = position; the generator has no state. top_k keeps the k likeliest tokens (0: all). top_p then
// keeps the smallest set of likeliest tokens with at least that share of the kept mass. min_p then keeps
// tokens with at least that share of the likeliest token's probability. Of tokens with equal logits the lower
// id comes first.
struct Draw {
  float temperature = 1;  // below 1e-5: the largest logit is taken; ties: the lower id
  int32_t top_k = 0;
  float top_p = 1;
  float min_p = 0;
  uint64_t seed = 0;
  uint64_t position = 0;
};

// Every backend draws the same tokens from the same logits: the weights come from one polynomial for exp, and
// sums of weights are sums of whole numbers (kernels/draw/mass.h).
struct SampleArgs {
  Matrix logits;                // fp32 [m, vocab], after AdjustLogits and MaskLogits
  const Draw* draws = nullptr;  // [m]
  TokenId* tokens = nullptr;    // out [m]
};

// A request for log-probabilities of one row.
struct ScoredRow {
  int32_t row = 0;        // row of the logits
  TokenId token = 0;      // -1: the token that was drawn for the row
  int32_t num_top = 0;    // how many of the likeliest tokens to return
  int32_t first_top = 0;  // index of the first of these in top_ids and top_logprobs
};

// The log softmax of the logits at each row's token, and the row's num_top likeliest tokens, likeliest first
// (ties: the lower id). Where the vocabulary has fewer tokens, the rest is filled with -1 and -infinity.
struct LogprobsArgs {
  Matrix logits;                    // fp32 [.., vocab]
  const ScoredRow* rows = nullptr;  // [m]
  int64_t m = 0;
  const TokenId* drawn = nullptr;  // [rows of logits]: the token that was drawn for each
  float* logprobs = nullptr;       // out [m]
  TokenId* top_ids = nullptr;      // out: rows[i]'s num_top tokens from rows[i].first_top on
  float* top_logprobs = nullptr;   // out, as top_ids
};

}  // namespace deeprack::kernels
