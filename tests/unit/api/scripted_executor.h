// Workers for tests. Every sequence generates the same script and then ends. A forbidden token becomes an x.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "constraint/vocabulary.h"
#include "coordinator/scheduler/step_executor.h"
#include "tests/unit/chat/byte_tokenizer.h"
#include "tests/unit/scheduler/rank_tables.h"

namespace deeprack::coordinator {

class ScriptedExecutor final : public StepExecutor {
 public:
  // The script must keep to the constraints of all sequences.
  ScriptedExecutor(std::vector<TokenId> script, std::shared_ptr<const constraint::Vocabulary> vocabulary)
      : ranks_({.max_step_tokens = 1 << 20,
                .max_sequences = 1024,
                .max_context = 1 << 20,
                .blocks_per_dp_rank = 1 << 16},
               std::move(vocabulary)),
        script_(std::move(script)) {}

  absl::Status Send(const model::StepPlan& plan) override {
    plans_.push_back(plan);
    return absl::OkStatus();
  }
  absl::StatusOr<model::StepResult> Receive() override {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [this] { return steps_allowed_ != 0 || !failure_.ok(); });
    if (!failure_.ok()) return failure_;
    if (steps_allowed_ > 0) --steps_allowed_;
    const ResolvedPlan plan = ranks_.Begin(plans_.front());
    ResolvedResult result{.epoch = plan.epoch, .step = plan.step};
    for (const model::GroupPlan& group : plan.plan.groups) result.sizes.push_back(group.rows.size());
    for (const SequencePlan& sequence : plan.sequences) {
      if (sequence.token_ids.empty()) {  // padding
        result.sequences.push_back({.sequence = sequence.sequence});
      } else if (sequence.token_ids.front() == refused_first_) {
        result.sequences.push_back({.sequence = sequence.sequence, .refused = "token 7 of 7"});
      } else {
        result.sequences.push_back(Answer(sequence));
      }
    }
    plans_.pop_front();
    model::StepResult joined = result.Joined();
    ranks_.Accept(joined);
    return joined;
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

  // From now on sequences with a chunk that begins with this token are refused.
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

  model::SequenceResult Answer(const SequencePlan& plan) {
    model::SequenceResult result{.sequence = plan.sequence};
    for (size_t i = 0; plan.prompt_logprobs >= 0 && i < plan.token_ids.size(); ++i) {
      if (plan.num_computed + static_cast<int32_t>(i) + 1 >= plan.prompt_size) break;
      const TokenId next = i + 1 < plan.token_ids.size() ? plan.token_ids[i + 1] : plan.next_prompt_token;
      result.prompt_logprobs.push_back(Logprobs(next, plan.prompt_logprobs));
    }
    if (!plan.sample) return result;
    last_sampling_ = plan.sampling;
    const size_t said = said_[plan.sequence]++;
    if (said >= finite_tokens_) {
      const auto end = static_cast<int32_t>(plan.num_computed + plan.token_ids.size());
      return {.sequence = plan.sequence, .non_finite = model::NonFiniteRow{.position = end - 1, .token = 3}};
    }
    TokenId token = said < script_.size() ? script_[said] : ByteTokenizer::kEos;
    for (const auto& [biased, bias] : plan.sampling.logit_bias) {
      if (biased == token && bias < -1e20f) token = 'x';
    }
    result.tokens = {token};
    if (plan.sampling.top_logprobs >= 0) {
      result.logprobs = {Logprobs(token, plan.sampling.top_logprobs)};
    }
    return result;
  }

  // Used by the loop's thread only.
  RankTables ranks_;
  std::deque<model::StepPlan> plans_;

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
