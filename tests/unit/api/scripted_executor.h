// Workers for tests. Every sequence generates the same script and then ends. A forbidden token becomes an x.
// Where a step has drafts, they are right as often as CutInto says.
#pragma once

#include <algorithm>
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
        script_(std::move(script)) {
    ranks_.DraftWith([this](SequenceId sequence, int32_t d) {
      return Say(sequence, said_[sequence] + static_cast<size_t>(d));
    });
  }

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
    for (const model::GroupPlan& group : plan.plan.groups) {
      result.sizes.push_back(group.rows.size());
      for (const model::OpenedSequence& opened : group.opened) {
        opened_[opened.sequence] = opened;
        said_[opened.sequence] = opened.tokens.size() - static_cast<size_t>(opened.prompt_size);
      }
    }
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

  // From now on list i of a sequence's tokens, from 0, has sizes[i] tokens where there are drafts for them.
  // A list after these sizes has one token.
  void CutInto(std::vector<int32_t> sizes) {
    const std::lock_guard lock(mutex_);
    list_sizes_ = std::move(sizes);
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
    if (said_[plan.sequence] >= finite_tokens_) {
      const auto end = static_cast<int32_t>(plan.num_computed + plan.token_ids.size());
      return {.sequence = plan.sequence, .non_finite = model::NonFiniteRow{.position = end - 1, .token = 3}};
    }
    const model::EndRule& end = opened_[plan.sequence].end;
    const size_t list = lists_[plan.sequence]++;
    const int32_t asked = list < list_sizes_.size() ? list_sizes_[list] : 1;
    auto size = static_cast<int32_t>(plan.num_computed + plan.token_ids.size());
    bool ended = false;
    const int32_t most = std::min(asked, 1 + static_cast<int32_t>(plan.drafts.size()));
    for (int32_t i = 0; i < most && !ended; ++i) {
      const TokenId token = Say(plan.sequence, said_[plan.sequence]++);
      result.tokens.push_back(token);
      if (plan.sampling.top_logprobs >= 0)
        result.logprobs.push_back(Logprobs(token, plan.sampling.top_logprobs));
      ended = EndAfter(end, plan.prompt_size, ++size, token) != model::SequenceEnd::kNone;
    }
    return result;
  }

  // Token `said`, from 0, of a sequence's output.
  TokenId Say(SequenceId sequence, size_t said) {
    const model::OpenedSequence& opened = opened_[sequence];
    const TokenId token = said < script_.size() ? script_[said] : ByteTokenizer::kEos;
    for (const auto& [biased, bias] : opened.sampling.logit_bias) {
      if (biased == token && bias < -1e20f) return 'x';
    }
    const std::vector<TokenId>& stops = opened.end.stop_tokens;
    const bool forbidden =
        std::cmp_less(said, opened.end.min_tokens) && std::ranges::find(stops, token) != stops.end();
    return forbidden ? 'x' : token;
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
  std::map<SequenceId, size_t> said_, lists_;
  std::vector<int32_t> list_sizes_;
  std::map<SequenceId, model::OpenedSequence> opened_;
  model::SamplingParams last_sampling_;
};

}  // namespace deeprack::coordinator
