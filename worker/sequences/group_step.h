// One dp group's share of a step, with everything that the engine needs. A SequenceTable makes it from a
// RankStep, alike on all ranks of the group.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "constraint/token_state.h"
#include "model/step/sampling_params.h"

namespace deeprack::worker {

// How often a token has occurred in a sequence so far.
struct TokenCount {
  TokenId token = 0;
  int32_t in_prompt = 0;
  int32_t in_output = 0;
  bool operator==(const TokenCount&) const = default;
};

// A sequence's rows in a step: a chunk of the prompt, or one decode (a chunk of one token). Token i of the
// chunk is at position num_computed + i. It reads the KV entries of all earlier positions through the block
// table, and writes its own to slot block_table[position / kPageTokens] * kPageTokens + position %
// kPageTokens.
struct StepSequence {
  SequenceSlot slot = 0;
  SequenceId sequence = 0;
  int32_t rows = 0;  // at least 1
  // The sequence has ended on its ranks. Its rows are padding: they are computed so that all ranks have the
  // rows that the plan counts, they write no KV entry, and no token comes of them. Of the fields below, only
  // `refused` is filled.
  bool padding = false;
  std::string_view refused;              // SequenceResult::refused
  std::span<const BlockId> block_table;  // covers num_computed + rows positions
  int32_t prompt_size = 0;               // positions [0, prompt_size) belong to the prompt
  int32_t num_computed = 0;              // positions [0, num_computed) are in the KV cache
  std::span<const TokenId> token_ids;    // [rows]
  bool sample = false;                   // draw a token from the logits of the last position
  const model::SamplingParams* sampling = nullptr;
  std::span<const TokenCount> token_counts;  // one for each token; only if `sample` and penalties are used
  constraint::TokenState* state = nullptr;  // only if `sample`; null: every token may be drawn
  // -1: no log-probabilities of prompt tokens. n >= 0: OpenedSequence::prompt_logprobs, and some position of
  // the chunk is followed by a prompt token. next_prompt_token is the prompt's token after the chunk's last
  // position, -1 if the prompt ends there or before.
  int32_t prompt_logprobs = -1;
  TokenId next_prompt_token = -1;
};

struct GroupStep {
  Epoch epoch = 0;
  StepId step = 0;
  std::vector<int32_t> rows_of_group;  // [dp]; of the own group: the rows of all `sequences`
  bool decodes_only = false;           // StepHeader::decodes_only
  std::vector<StepSequence> sequences;

  // Some sequence draws a token or has its prompt scored, so the step has outcomes.
  bool has_outcomes() const {
    for (const StepSequence& sequence : sequences) {
      if (sequence.sample || sequence.prompt_logprobs >= 0) return true;
    }
    return false;
  }
};

// What comes of a sequence's rows: the token that was drawn, or one of these.
inline constexpr TokenId kNoToken = -1;    // none was to be drawn
inline constexpr TokenId kNotFinite = -2;  // a row of logits that the sequence needed is not finite

}  // namespace deeprack::worker
