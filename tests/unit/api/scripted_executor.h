// Workers for tests. Every sequence generates the same script and then ends. A forbidden token becomes an x.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

#include "absl/status/status.h"
#include "coordinator/scheduler/step_executor.h"
#include "tests/unit/chat/byte_tokenizer.h"

namespace deeprack::coordinator {

class ScriptedExecutor final : public StepExecutor {
 public:
  explicit ScriptedExecutor(std::vector<TokenId> script) : script_(std::move(script)) {}

  absl::StatusOr<model::StepResult> Execute(const model::StepPlan& plan) override {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [this] { return steps_allowed_ != 0 || !failure_.ok(); });
    if (!failure_.ok()) return failure_;
    if (steps_allowed_ > 0) --steps_allowed_;
    model::StepResult result{.epoch = plan.epoch, .step = plan.step};
    for (const model::SequencePlan& sequence : plan.sequences) {
      if (sequence.token_ids.front() == refused_first_) {
        result.sequences.clear();
        result.refusal = model::Refusal{sequence.sequence, "token 7 of 7"};
        return result;
      }
      result.sequences.push_back(Answer(sequence));
    }
    return result;
  }

  // From now on steps wait, until Allow or Fail. Allow(-1) removes the limit.
  void Allow(int steps) {
    const std::lock_guard lock(mutex_);
    steps_allowed_ = steps;
    wake_.notify_all();
  }

  void Fail(absl::Status why) {
    const std::lock_guard lock(mutex_);
    failure_ = std::move(why);
    wake_.notify_all();
  }

  // From now on the logits after a sequence's first `tokens` tokens are not finite.
  void BreakNumbersAfter(size_t tokens) {
    const std::lock_guard lock(mutex_);
    finite_tokens_ = tokens;
  }

  // From now on plans with a chunk that begins with this token are refused.
  void RefuseChunksFrom(TokenId first) {
    const std::lock_guard lock(mutex_);
    refused_first_ = first;
  }

  // The sampling parameters of the last sequence seen.
  model::SamplingParams last_sampling() {
    const std::lock_guard lock(mutex_);
    return last_sampling_;
  }

 private:
  // Token t has log-probability -(t+1)/16. The most likely tokens are 0, 1, 2, ...
  static model::PositionLogprobs Logprobs(TokenId token, int top) {
    const auto entry = [](TokenId id) { return model::TokenLogprob{id, -static_cast<float>(id + 1) / 16}; };
    model::PositionLogprobs logprobs{.chosen = entry(token)};
    for (TokenId id = 0; id < top; ++id) logprobs.top.push_back(entry('a' + id));
    return logprobs;
  }

  model::SequenceResult Answer(const model::SequencePlan& plan) {
    last_sampling_ = plan.sampling;
    model::SequenceResult result{.sequence = plan.sequence, .sampled = plan.sample};
    if (plan.prompt_logprobs >= 0) {
      for (size_t i = 1; i < plan.token_ids.size(); ++i) {
        result.prompt_logprobs.push_back(Logprobs(plan.token_ids[i], plan.prompt_logprobs));
      }
      if (plan.next_prompt_token >= 0) {
        result.prompt_logprobs.push_back(Logprobs(plan.next_prompt_token, plan.prompt_logprobs));
      }
    }
    if (!plan.sample) return result;
    const size_t said = said_[plan.sequence]++;
    if (said >= finite_tokens_) {
      const auto end = static_cast<int32_t>(plan.num_computed + plan.token_ids.size());
      return {.sequence = plan.sequence, .non_finite = model::NonFiniteRow{.position = end - 1, .token = 3}};
    }
    result.token = said < script_.size() ? script_[said] : ByteTokenizer::kEos;
    for (const auto& [token, bias] : plan.sampling.logit_bias) {
      if (token == result.token && bias < -1e20f) result.token = 'x';
    }
    if (plan.sampling.top_logprobs >= 0) result.logprobs = Logprobs(result.token, plan.sampling.top_logprobs);
    return result;
  }

  const std::vector<TokenId> script_;
  std::mutex mutex_;
  std::condition_variable wake_;
  int steps_allowed_ = -1;
  absl::Status failure_;
  size_t finite_tokens_ = SIZE_MAX;
  TokenId refused_first_ = -1;
  std::map<SequenceId, size_t> said_;
  model::SamplingParams last_sampling_;
};

}  // namespace deeprack::coordinator
