// Steps that a test writes down by hand, for engines without a table of sequences. A step names the sequences
// of all dp groups.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/ids.h"
#include "model/layout/layout.h"
#include "model/step/sampling_params.h"
#include "model/step/step_result.h"
#include "worker/engine/engine.h"
#include "worker/sequences/group_step.h"

namespace deeprack::worker::testing {

// The fields of StepSequence, with their memory.
struct WrittenSequence {
  SequenceId sequence = 0;
  int32_t dp_rank = 0;
  int32_t prompt_size = 0;
  int32_t num_computed = 0;
  std::vector<TokenId> token_ids;
  std::vector<BlockId> block_table;
  bool sample = false;
  model::SamplingParams sampling;
  model::EndRule end = {.max_size = INT32_MAX};
  std::vector<TokenCount> token_counts;
  constraint::TokenState* state = nullptr;
  int32_t prompt_logprobs = -1;
  TokenId next_prompt_token = -1;
  bool padding = false;
};

struct WrittenStep {
  Epoch epoch = 0;
  StepId step = 0;
  std::vector<WrittenSequence> sequences;
};

// The share of one of `dp` groups, in the order of `step`. Views of `step`.
inline GroupStep GroupStepOf(const WrittenStep& step, int32_t dp, int32_t dp_rank) {
  GroupStep group = {.epoch = step.epoch,
                     .step = step.step,
                     .rows_of_group = std::vector<int32_t>(static_cast<size_t>(dp), 0),
                     .decodes_only = true,
                     .sequences = {}};
  for (const WrittenSequence& sequence : step.sequences) {
    const auto rows = static_cast<int32_t>(sequence.token_ids.size());
    group.rows_of_group[static_cast<size_t>(sequence.dp_rank)] += rows;
    const bool decodes = rows == 1 && sequence.sample && sequence.num_computed >= sequence.prompt_size;
    group.decodes_only &= sequence.padding ? rows == 1 : decodes;
    if (sequence.dp_rank != dp_rank) continue;
    StepSequence& own = group.sequences.emplace_back();
    own.sequence = sequence.sequence;
    own.rows = rows;
    own.padding = sequence.padding;
    if (sequence.padding) continue;
    own.block_table = sequence.block_table;
    own.prompt_size = sequence.prompt_size;
    own.num_computed = sequence.num_computed;
    own.token_ids = sequence.token_ids;
    own.sample = sequence.sample;
    own.sampling = &sequence.sampling;
    own.token_counts = sequence.token_counts;
    if (sequence.sample) own.state = sequence.state;
    if (sequence.num_computed + 1 < sequence.prompt_size) own.prompt_logprobs = sequence.prompt_logprobs;
    own.next_token = sequence.next_prompt_token;
    own.end = &sequence.end;
  }
  return group;
}

// The same as one of the ranks of `layout`.
inline GroupStep GroupStepOf(const WrittenStep& step, const model::Layout& layout, Rank rank) {
  return GroupStepOf(step, layout.dp, model::CoordinatesOf(layout, rank).dp_rank);
}

// A result of a sequence that draws at most one token.
struct Answer {
  SequenceId sequence = 0;
  bool sampled = false;
  TokenId token = 0;
  model::PositionLogprobs logprobs;
  std::vector<model::PositionLogprobs> prompt_logprobs;
  std::optional<model::NonFiniteRow> non_finite;

  bool operator==(const Answer&) const = default;
};

inline Answer AnswerOf(const model::SequenceResult& result) {
  Answer answer = {.sequence = result.sequence, .sampled = !result.tokens.empty()};
  if (answer.sampled) answer.token = result.tokens.front();
  if (!result.logprobs.empty()) answer.logprobs = result.logprobs.front();
  answer.prompt_logprobs = result.prompt_logprobs;
  answer.non_finite = result.non_finite;
  return answer;
}

}  // namespace deeprack::worker::testing
