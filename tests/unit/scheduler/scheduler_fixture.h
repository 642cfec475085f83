// Shared by the scheduler's tests: small limits, requests of a given length, and a model that answers by a
// rule.
#pragma once

#include <functional>
#include <map>
#include <numeric>
#include <vector>

#include "coordinator/scheduler/scheduler.h"

namespace deeprack::coordinator {

inline SchedulerLimits SmallLimits() {
  return {.max_step_tokens = 256,
          .max_sequences = 8,
          .max_waiting = 16,
          .max_context = 1024,
          .dp = 1,
          .blocks_per_dp_rank = 16};
}

// A prompt of `size` tokens. Two prompts with different `first` share no token within their first 10,000.
inline Request MakeRequest(int32_t size, int32_t max_tokens, TokenId first = 0) {
  Request request;
  request.prompt.resize(size);
  std::iota(request.prompt.begin(), request.prompt.end(), first * 10'000);
  request.max_tokens = max_tokens;
  return request;
}

// Answers a plan. Each sampled token is rule(sequence plan). A log-probability has only its token.
inline model::StepResult Answer(
    const model::StepPlan& plan,
    const std::function<TokenId(const model::SequencePlan&)>& rule = [](const auto&) { return 5; }) {
  model::StepResult result{.epoch = plan.epoch, .step = plan.step};
  for (const model::SequencePlan& sequence : plan.sequences) {
    model::SequenceResult answer{.sequence = sequence.sequence, .sampled = sequence.sample};
    if (sequence.sample) answer.token = rule(sequence);
    if (sequence.prompt_logprobs >= 0) {
      for (size_t i = 1; i < sequence.token_ids.size(); ++i) {
        answer.prompt_logprobs.push_back({.chosen = {sequence.token_ids[i], 0.0f}});
      }
      if (sequence.next_prompt_token >= 0) {
        answer.prompt_logprobs.push_back({.chosen = {sequence.next_prompt_token, 0.0f}});
      }
    }
    result.sequences.push_back(std::move(answer));
  }
  return result;
}

// The chunk length of each sequence.
inline std::map<SequenceId, int32_t> Chunks(const model::StepPlan& plan) {
  std::map<SequenceId, int32_t> chunks;
  for (const auto& sequence : plan.sequences)
    chunks[sequence.sequence] = static_cast<int32_t>(sequence.token_ids.size());
  return chunks;
}

// Runs until no sequence is left. Returns all events by sequence.
inline std::map<SequenceId, std::vector<TokenEvent>> RunToEnd(Scheduler& scheduler) {
  std::map<SequenceId, std::vector<TokenEvent>> events;
  while (auto plan = scheduler.Plan()) {
    auto step_events = scheduler.Apply(Answer(*plan)).value();
    for (TokenEvent& event : step_events) events[event.sequence].push_back(std::move(event));
  }
  return events;
}

}  // namespace deeprack::coordinator
