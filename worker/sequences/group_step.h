// One dp group's share of a step, with everything that the engine needs. A SequenceTable makes it from a
// RankStep, alike on all ranks of the group.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "constraint/token_state.h"
#include "model/step/end_rule.h"
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
  int32_t rows = 0;         // at least 1
  int32_t next_drafts = 0;  // SequenceRows::next_drafts
  // The sequence has ended on its ranks. Its rows are padding: they are computed so that all ranks have the
  // rows that the plan counts, they write no KV entry, and no token comes of them. Its drafts are noise. Of
  // the fields below, only `refused` is filled.
  bool padding = false;
  std::string_view refused;  // SequenceResult::refused
  // Covers num_computed + rows positions, and next_drafts - 1 more.
  std::span<const BlockId> block_table;
  int32_t prompt_size = 0;             // positions [0, prompt_size) belong to the prompt
  int32_t num_computed = 0;            // positions [0, num_computed) are in the KV cache
  std::span<const TokenId> token_ids;  // [rows]; the last `drafts` are drafts
  int32_t drafts = 0;                  // less than rows; 0 if not `sample`
  TokenId next_token = -1;  // after the last position of token_ids; -1: the sequence has no such token yet
  bool sample = false;      // draw a token from the logits of each of the last 1 + drafts positions
  // The fields of a sequence that draws.
  const model::EndRule* end = nullptr;
  const model::SamplingParams* sampling = nullptr;
  // Of the first draws_below_min draws: there the output has fewer than min_tokens tokens.
  const model::SamplingParams* sampling_below_min = nullptr;
  int32_t draws_below_min = 0;
  std::span<const TokenCount> token_counts;  // without the drafts; one for each token; if penalties are used
  constraint::TokenState* state = nullptr;   // before the first draw; null: every token may be drawn
  // -1: no log-probabilities of prompt tokens. n >= 0: OpenedSequence::prompt_logprobs, and some position of
  // the chunk is followed by a prompt token.
  int32_t prompt_logprobs = -1;

  // -1: the prompt ends with the last position of token_ids or before.
  TokenId next_prompt_token() const { return num_computed + rows < prompt_size ? next_token : -1; }
  // The tokens that may come of the rows.
  int32_t draws() const { return sample ? 1 + drafts : 0; }
  // Draw `draw` follows this many rows.
  int32_t RowsBefore(int32_t draw) const { return rows - drafts + draw; }
  std::span<const TokenId> DraftsBefore(int32_t draw) const {
    return token_ids.subspan(static_cast<size_t>(rows - drafts), static_cast<size_t>(draw));
  }
  const model::SamplingParams& SamplingOf(int32_t draw) const {
    return draw < draws_below_min ? *sampling_below_min : *sampling;
  }
  // The entries that the sequence has in StepOutcomes::tokens.
  int32_t outcomes() const { return std::max(1, draws()); }
};

struct GroupStep {
  Epoch epoch = 0;
  StepId step = 0;
  std::vector<int32_t> rows_of_group;          // [dp]; of the own group: the rows of all `sequences`
  bool decodes_only = false;                   // StepHeader::decodes_only
  std::vector<std::vector<int32_t>> drafting;  // StepHeader::drafting
  std::vector<StepSequence> sequences;

  // Some sequence draws a token or has its prompt scored, so the step has outcomes.
  bool has_outcomes() const {
    for (const StepSequence& sequence : sequences) {
      if (sequence.sample || sequence.prompt_logprobs >= 0) return true;
    }
    return false;
  }
};

// What came of a step, equal on all ranks of the dp group.
struct StepOutcomes {
  // StepSequence::outcomes() entries for each sequence: the tokens that the sequence keeps, in the order of
  // positions, then kNoToken. kNotFinite in the first entry: the sequence ends without a token.
  std::vector<TokenId> tokens;
  // StepSequence::next_drafts entries for each sequence: tokens of the vocabulary.
  std::vector<TokenId> drafts;

  bool operator==(const StepOutcomes&) const = default;
};
inline constexpr TokenId kNoToken = -1;    // no token came of the row
inline constexpr TokenId kNotFinite = -2;  // a row of logits that the sequence needed is not finite

}  // namespace deeprack::worker
