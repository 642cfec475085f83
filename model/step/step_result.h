// The results of a step. The rank that draws for a dp group (tp rank 0 of the last pipeline stage) returns
// the results of the group's sequences; other ranks return an empty list. Dispatch joins the lists of all
// ranks.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "model/step/non_finite_row.h"

namespace deeprack::model {

struct TokenLogprob {
  TokenId token = 0;
  float logprob = 0.0f;
  bool operator==(const TokenLogprob&) const = default;
};

// The sampled (or given) token with its log-probability, and the most likely tokens, most likely first.
struct PositionLogprobs {
  TokenLogprob chosen;
  std::vector<TokenLogprob> top;
  bool operator==(const PositionLogprobs&) const = default;
};

struct SequenceResult {
  SequenceId sequence = 0;
  // Drawn in this step, in the order of positions, up to the sequence's end: 1 to 1 + SequenceRows::drafts.
  // All but the last are drafts that proved right.
  std::vector<TokenId> tokens;
  std::vector<PositionLogprobs> logprobs;  // if sampling.top_logprobs >= 0: one entry for each token
  // If prompt_logprobs >= 0: entry i belongs to the token after the step's row i. No entry where the prompt
  // has ended.
  std::vector<PositionLogprobs> prompt_logprobs;
  // A row of logits that this sequence needed is not finite. Then there is no token and no log-probability,
  // and the sequence has ended on its ranks.
  std::optional<NonFiniteRow> non_finite;
  // Not empty: the ranks of the group refuse what the plan says of this sequence. Names the value found and
  // the values allowed. Nothing was computed for the sequence, and the sequence has ended on its ranks. All
  // ranks of a group check the same values in the same way, so all refuse alike, and the step goes on.
  std::string refused;

  bool operator==(const SequenceResult&) const = default;
};

struct StepTimings {
  double total_seconds = 0;
  double collective_seconds = 0;  // part of total_seconds inside collectives, with waiting
};

// Of one rank.
struct RankResult {
  Epoch epoch = 0;
  StepId step = 0;
  std::vector<SequenceResult> sequences;  // in the order of GroupPlan::rows; empty: this rank does not draw
  StepTimings timings;
};

// Of all ranks.
struct StepResult {
  Epoch epoch = 0;
  StepId step = 0;
  std::vector<std::vector<SequenceResult>> groups;  // [dp]: in the order of GroupPlan::rows
  std::vector<StepTimings> rank_timings;            // [world]
};

}  // namespace deeprack::model
