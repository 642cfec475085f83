// From a row of logits to the next token of a sequence and its log-probabilities.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/api/kernel_set.h"
#include "model/step/step_plan.h"
#include "model/step/step_result.h"

namespace deeprack::worker {

class Sampler {
 public:
  // `scratch` holds vocab floats and outlives the sampler, as do the others.
  Sampler(const kernels::KernelSet& kernels, const kernels::Execution& execution, int64_t vocab,
          float* scratch);

  // Draws the token that follows the plan's chunk from the raw logits [vocab] of its last position, and fills
  // `sampled`, `token` and, if asked for, `logprobs` of the result. A pure function of logits and plan.
  void Sample(const model::SequencePlan& plan, const float* logits, model::SequenceResult& result);

  // Of the raw logits [vocab]: `token`'s own log-probability and the `num_top` best. num_top <= vocab.
  model::PositionLogprobs Logprobs(const float* logits, TokenId token, int32_t num_top);

 private:
  const kernels::KernelSet& kernels_;
  const kernels::Execution& execution_;
  const int64_t vocab_;
  float* const scratch_;
  std::vector<kernels::LogitBias> biases_;
  std::vector<kernels::LogitPenaltyCount> counts_;
  std::vector<TokenId> top_ids_;
  std::vector<float> top_logprobs_;
};

}  // namespace deeprack::worker
