// Shared by the scheduler's tests: small limits, requests of a given length, a scheduler with its ranks'
// sequence tables, and a model that answers by a rule.
#pragma once

#include <functional>
#include <map>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "coordinator/scheduler/scheduler.h"
#include "tests/unit/scheduler/rank_tables.h"

namespace deeprack::coordinator {

// One step under way.
inline SchedulerLimits SmallLimits() {
  return {.max_step_tokens = 256,
          .max_sequences = 8,
          .max_waiting = 16,
          .max_context = 1024,
          .dp = 1,
          .blocks_per_dp_rank = 16,
          .steps_under_way = 1};
}

// A prompt of `size` tokens. Two prompts with different `first` share no token within their first 10,000.
inline Request MakeRequest(int32_t size, int32_t max_tokens, TokenId first = 0) {
  Request request;
  request.prompt.resize(size);
  std::iota(request.prompt.begin(), request.prompt.end(), first * 10'000);
  request.max_tokens = max_tokens;
  return request;
}

using TokenRule = std::function<TokenId(const SequencePlan&)>;

// Answers a plan. Each sampled token is rule(sequence plan). A log-probability has only its token.
inline ResolvedResult Answer(
    const ResolvedPlan& plan, const TokenRule& rule = [](const SequencePlan&) { return 5; }) {
  ResolvedResult result{.epoch = plan.epoch, .step = plan.step};
  for (const model::GroupPlan& group : plan.plan.groups) result.sizes.push_back(group.rows.size());
  for (const SequencePlan& sequence : plan.sequences) {
    model::SequenceResult answer{.sequence = sequence.sequence};
    if (sequence.sample) answer.tokens.push_back(rule(sequence));
    if (sequence.sample && sequence.sampling.top_logprobs >= 0) {
      answer.logprobs.push_back({.chosen = {answer.tokens.back(), 0.0f}});
    }
    const int32_t last = sequence.prompt_size - 1;  // the last position with a prompt token after it, plus 1
    for (size_t i = 0; sequence.prompt_logprobs >= 0 && i < sequence.token_ids.size(); ++i) {
      if (sequence.num_computed + static_cast<int32_t>(i) >= last) break;
      const TokenId next =
          i + 1 < sequence.token_ids.size() ? sequence.token_ids[i + 1] : sequence.next_prompt_token;
      answer.prompt_logprobs.push_back({.chosen = {next, 0.0f}});
    }
    result.sequences.push_back(std::move(answer));
  }
  return result;
}

// A scheduler whose plans are seen as its ranks see them. For one step under way.
class TestScheduler {
 public:
  TestScheduler(const SchedulerLimits& limits, Epoch epoch) : scheduler_(limits, epoch), ranks_(limits) {}

  absl::Status Add(SequenceId id, Request request) { return scheduler_.Add(id, std::move(request)); }
  std::optional<TokenEvent> Cancel(SequenceId id) { return scheduler_.Cancel(id); }
  std::optional<ResolvedPlan> Plan() {
    const std::optional<model::StepPlan> plan = scheduler_.Plan();
    if (!plan.has_value()) return std::nullopt;
    return ranks_.Begin(*plan);
  }
  absl::StatusOr<std::vector<TokenEvent>> Apply(const ResolvedResult& result) {
    const model::StepResult joined = result.Joined();
    absl::StatusOr<std::vector<TokenEvent>> events = scheduler_.Apply(joined);
    if (events.ok()) ranks_.Accept(joined);
    return events;
  }
  TokenEvent EndStalled() { return scheduler_.EndStalled(); }
  std::vector<TokenEvent> Interrupt(const absl::Status& why) { return scheduler_.Interrupt(why); }
  std::vector<TokenEvent> Resume(Epoch epoch, int32_t blocks, int32_t dp) {
    return scheduler_.Resume(epoch, blocks, dp);
  }
  std::vector<TokenEvent> Abort(const absl::Status& why) { return scheduler_.Abort(why); }
  bool idle() const { return scheduler_.idle(); }
  bool interrupted() const { return scheduler_.interrupted(); }
  int64_t steps_under_way() const { return scheduler_.steps_under_way(); }
  ServingStats Stats() const { return scheduler_.Stats(); }
  Scheduler& scheduler() { return scheduler_; }

 private:
  Scheduler scheduler_;
  RankTables ranks_;
};

// The chunk length of each sequence.
inline std::map<SequenceId, int32_t> Chunks(const ResolvedPlan& plan) {
  std::map<SequenceId, int32_t> chunks;
  for (const auto& sequence : plan.sequences)
    chunks[sequence.sequence] = static_cast<int32_t>(sequence.token_ids.size());
  return chunks;
}

// Runs until no sequence is left. Returns all events by sequence.
inline std::map<SequenceId, std::vector<TokenEvent>> RunToEnd(TestScheduler& scheduler) {
  std::map<SequenceId, std::vector<TokenEvent>> events;
  while (auto plan = scheduler.Plan()) {
    auto step_events = scheduler.Apply(Answer(*plan)).value();
    for (TokenEvent& event : step_events) events[event.sequence].push_back(std::move(event));
  }
  return events;
}

}  // namespace deeprack::coordinator
