// What every rank is told to do in one step. A value: made by the scheduler, sent by dispatch, obeyed by the
// engine. Every rank gets the same plan and derives its own share from the layout.
#pragma once

#include <vector>

#include "base/ids.h"
#include "model/step/sampling_params.h"

namespace deeprack::model {

// How often a token has occurred in a sequence so far; sent only while penalties are in use.
struct TokenCount {
  TokenId token = 0;
  int32_t in_prompt = 0;
  int32_t in_output = 0;
  bool operator==(const TokenCount&) const = default;
};

// One sequence's share of a step: a chunk of prefill, or one decode (a chunk of length 1).
// Token i of the chunk stands at position num_computed + i, reads the KV of every earlier position through
// the block table, and writes its own to slot block_table[position / kPageTokens] * kPageTokens + position %
// kPageTokens.
struct SequencePlan {
  SequenceId sequence = 0;
  int32_t dp_rank = 0;               // the dp group that holds this sequence's KV
  int32_t prompt_size = 0;           // positions [0, prompt_size) are of the prompt; at least 1
  int32_t num_computed = 0;          // positions [0, num_computed) are in the cache
  std::vector<TokenId> token_ids;    // never empty
  std::vector<BlockId> block_table;  // covers num_computed + token_ids.size() positions
  bool sample = false;               // draw a token from the logits of the last position
  SamplingParams sampling;
  std::vector<TokenCount> token_counts;
  // Log-probabilities of prompt tokens (`echo`): for each chunk position p with p >= 1, the log-probability
  // of the token at p given those before it. -1: none; n >= 0: the token's own and the n most likely at its
  // place. The token that follows the chunk's last position is next_prompt_token (-1 when the prompt ends
  // there).
  int32_t prompt_logprobs = -1;
  TokenId next_prompt_token = -1;

  bool operator==(const SequencePlan&) const = default;
};

struct StepPlan {
  Epoch epoch = 0;
  StepId step = 0;
  std::vector<SequencePlan> sequences;  // in the scheduler's order; results come back in the same order

  bool operator==(const StepPlan&) const = default;
};

}  // namespace deeprack::model
