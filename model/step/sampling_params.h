// How the next token of a sequence is drawn from its logits.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "base/ids.h"

namespace deeprack::model {

// Applied in the order of vLLM: logit bias, penalties, temperature, top-k, top-p, min-p, draw.
struct SamplingParams {
  float temperature = 1.0f;  // 0: greedy (of equal logits, the lowest id)
  int32_t top_k = 0;         // 0: off
  float top_p = 1.0f;        // (0, 1]; 1: off
  float min_p = 0.0f;        // [0, 1]; 0: off
  float presence_penalty = 0.0f;
  float frequency_penalty = 0.0f;
  float repetition_penalty = 1.0f;  // > 0; counts tokens of prompt and output
  std::vector<std::pair<TokenId, float>> logit_bias;
  uint64_t seed = 0;  // the draw at a position is a pure function of (seed, position)
  // -1: no log-probabilities. n >= 0: those of the token and of the n most likely tokens, from the raw logits
  // (before bias, penalties and temperature), as in vLLM.
  int32_t top_logprobs = -1;

  bool uses_penalties() const {
    return presence_penalty != 0.0f || frequency_penalty != 0.0f || repetition_penalty != 1.0f;
  }
  bool operator==(const SamplingParams&) const = default;
};

}  // namespace deeprack::model
