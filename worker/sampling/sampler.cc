#include "worker/sampling/sampler.h"

#include <cstring>

namespace deeprack::worker {

Sampler::Sampler(const kernels::KernelSet& kernels, const kernels::Execution& execution, int64_t vocab,
                 float* scratch)
    : kernels_(kernels), execution_(execution), vocab_(vocab), scratch_(scratch) {}

void Sampler::Sample(const model::SequencePlan& plan, const float* logits, model::SequenceResult& result) {
  const model::SamplingParams& params = plan.sampling;
  const float* adjusted = logits;
  if (!params.logit_bias.empty() || params.uses_penalties()) {
    biases_.clear();
    for (const auto& [token, bias] : params.logit_bias) biases_.push_back({.token = token, .bias = bias});
    counts_.clear();
    for (const model::TokenCount& count : plan.token_counts) {
      counts_.push_back({.token = count.token, .in_prompt = count.in_prompt, .in_output = count.in_output});
    }
    // A copy: log-probabilities are of the raw logits.
    std::memcpy(scratch_, logits, static_cast<size_t>(vocab_) * sizeof(float));
    kernels_.adjust_logits({.logits = scratch_,
                            .vocab = vocab_,
                            .biases = biases_.data(),
                            .num_biases = static_cast<int64_t>(biases_.size()),
                            .counts = counts_.data(),
                            .num_counts = static_cast<int64_t>(counts_.size()),
                            .presence_penalty = params.presence_penalty,
                            .frequency_penalty = params.frequency_penalty,
                            .repetition_penalty = params.repetition_penalty},
                           execution_);
    adjusted = scratch_;
  }
  const uint64_t position = static_cast<uint64_t>(plan.num_computed) + plan.token_ids.size();
  result.sampled = true;
  result.token = kernels_.sample({.logits = adjusted,
                                  .vocab = vocab_,
                                  .temperature = params.temperature,
                                  .top_k = params.top_k,
                                  .top_p = params.top_p,
                                  .min_p = params.min_p,
                                  .seed = params.seed,
                                  .position = position},
                                 execution_);
  if (params.top_logprobs >= 0) result.logprobs = Logprobs(logits, result.token, params.top_logprobs);
}

model::PositionLogprobs Sampler::Logprobs(const float* logits, TokenId token, int32_t num_top) {
  model::PositionLogprobs result;
  result.chosen.token = token;
  top_ids_.resize(static_cast<size_t>(num_top));
  top_logprobs_.resize(static_cast<size_t>(num_top));
  kernels_.logprobs({.logits = logits,
                     .vocab = vocab_,
                     .token = token,
                     .num_top = num_top,
                     .logprob = &result.chosen.logprob,
                     .top_ids = top_ids_.data(),
                     .top_logprobs = top_logprobs_.data()},
                    execution_);
  for (int32_t i = 0; i < num_top; ++i)
    result.top.push_back({.token = top_ids_[i], .logprob = top_logprobs_[i]});
  return result;
}

}  // namespace deeprack::worker
