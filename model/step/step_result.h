// The results of a step. The rank that samples for a dp group (tp rank 0 of the last pipeline stage) returns
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
  bool sampled = false;
  TokenId token = 0;          // if sampled
  PositionLogprobs logprobs;  // if sampled and sampling.top_logprobs >= 0
  // If prompt_logprobs >= 0: entry i belongs to the token after chunk position i. No entry where the prompt
  // has ended.
  std::vector<PositionLogprobs> prompt_logprobs;
  // A row of logits that this sequence needed is not finite. Then there is no token and no log-probability.
  std::optional<NonFiniteRow> non_finite;
  bool operator==(const SequenceResult&) const = default;
};

// A rank refuses a plan before it changes anything or exchanges data with another rank. All ranks check the
// same plan in the same way, so all refuse it alike, and the epoch goes on.
struct Refusal {
  SequenceId sequence = 0;  // the sequence at fault
  std::string reason;       // names the value found and the values allowed
  bool operator==(const Refusal&) const = default;
};

struct StepTimings {
  double total_seconds = 0;
  double collective_seconds = 0;  // part of total_seconds inside collectives, with waiting
};

struct StepResult {
  Epoch epoch = 0;
  StepId step = 0;
  std::vector<SequenceResult> sequences;
  std::optional<Refusal> refusal;         // there: nothing was computed, and `sequences` is empty
  StepTimings timings;                    // of the rank that returns this result
  std::vector<StepTimings> rank_timings;  // [world], after joining: entry r is of rank r
};

}  // namespace deeprack::model
