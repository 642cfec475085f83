// How the next token of one sequence is drawn from its logits.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "base/ids.h"

namespace deeprack::model {

// The order of application, as in vLLM: logit bias, penalties, temperature, top-k, top-p, min-p, draw.
struct SamplingParams {
  float temperature = 1.0f;  // 0: greedy (the lowest id among equals)
  int32_t top_k = 0;         // 0: off
  float top_p = 1.0f;        // (0, 1]; 1: off
  float min_p = 0.0f;        // [0, 1]; 0: off
  float presence_penalty = 0.0f;
  float frequency_penalty = 0.0f;
  float repetition_penalty = 1.0f;  // over prompt and output; > 0
  std::vector<std::pair<TokenId, float>> logit_bias;
  uint64_t seed = 0;         // the draw at a position is a pure function of (seed, position)
  int32_t top_logprobs = -1;  // -1: no logprobs; n >= 0: the token's own and the n most likely
  // Log-probabilities are of the raw logits (before bias, penalties and temperature), as in vLLM.

  bool uses_penalties() const {
    return presence_penalty != 0.0f || frequency_penalty != 0.0f || repetition_penalty != 1.0f;
  }
  bool operator==(const SamplingParams&) const = default;
};

}  // namespace deeprack::model
