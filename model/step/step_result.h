// What a step gave. The rank that samples a dp group (tp rank 0 of the last pipeline stage) answers for its
// sequences; the other ranks answer with an empty list. Dispatch joins them.
#pragma once

#include <vector>

#include "base/ids.h"

namespace deeprack::model {

struct TokenLogprob {
  TokenId token = 0;
  float logprob = 0.0f;
  bool operator==(const TokenLogprob&) const = default;
};

// The chosen (or given) token with its own log-probability, and the most likely ones, best first.
struct PositionLogprobs {
  TokenLogprob chosen;
  std::vector<TokenLogprob> top;
  bool operator==(const PositionLogprobs&) const = default;
};

struct SequenceResult {
  SequenceId sequence = 0;
  bool sampled = false;
  TokenId token = 0;               // if sampled
  PositionLogprobs logprobs;       // if sampled and sampling.top_logprobs >= 0
  // If prompt_logprobs >= 0: entry i is of the token that follows chunk position i (for each i that has one).
  std::vector<PositionLogprobs> prompt_logprobs;
  bool operator==(const SequenceResult&) const = default;
};

struct StepTimings {
  double total_seconds = 0;
  double collective_seconds = 0;  // spent inside collectives, waiting included
};

struct StepResult {
  Epoch epoch = 0;
  StepId step = 0;
  std::vector<SequenceResult> sequences;
  StepTimings timings;                    // of the rank that answers
  std::vector<StepTimings> rank_timings;  // joined: entry r is rank r's
};

}  // namespace deeprack::model
