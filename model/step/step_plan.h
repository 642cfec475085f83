// What all ranks do in one step. A value: the scheduler makes it, dispatch sends it, the engine executes it.
// Every rank gets the same plan and computes its own share from the layout.
#pragma once

#include <vector>

#include "base/ids.h"
#include "model/step/sampling_params.h"

namespace deeprack::model {

// How often a token has occurred in a sequence so far. Sent only while the sequence uses penalties.
struct TokenCount {
  TokenId token = 0;
  int32_t in_prompt = 0;
  int32_t in_output = 0;
  bool operator==(const TokenCount&) const = default;
};

// One sequence's share of a step: a chunk of prefill, or one decode (a chunk of one token). Token i of the
// chunk is at position num_computed + i. It reads the KV entries of all earlier positions through the block
// table, and writes its own to slot block_table[position / kPageTokens] * kPageTokens + position %
// kPageTokens.
struct SequencePlan {
  SequenceId sequence = 0;
  int32_t dp_rank = 0;               // the dp group that holds this sequence's KV
  int32_t prompt_size = 0;           // positions [0, prompt_size) belong to the prompt; at least 1
  int32_t num_computed = 0;          // positions [0, num_computed) are in the KV cache
  std::vector<TokenId> token_ids;    // never empty
  std::vector<BlockId> block_table;  // covers num_computed + token_ids.size() positions
  bool sample = false;               // draw a token from the logits of the last position
  SamplingParams sampling;
  std::vector<TokenCount> token_counts;
  // Log-probabilities of prompt tokens (`echo`): for each chunk position p >= 1, the log-probability of the
  // token at p given the tokens before it. -1: none. n >= 0: those of the token and of the n most likely
  // tokens at its position. next_prompt_token is the prompt's token after the chunk's last position, -1 if
  // the prompt ends there.
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
