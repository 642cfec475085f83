// Scheduler::Apply: the effect of a step's result on each of its sequences.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "coordinator/scheduler/scheduler.h"

namespace deeprack::coordinator {

absl::StatusOr<std::vector<TokenEvent>> Scheduler::Apply(const model::StepResult& result) {
  DR_RETURN_IF_ERROR(CheckStep(result));
  if (result.refusal) return EndRefused(*result.refusal);
  DR_RETURN_IF_ERROR(CheckResult(result));
  std::vector<TokenEvent> events;
  const std::vector<SequenceId> in_step = std::exchange(in_step_, {});
  int64_t step_tokens = 0;
  for (SequenceId id : in_step) step_tokens += at(id).chunk;
  totals_.step_tokens.Add(step_tokens);
  for (size_t i = 0; i < in_step.size(); ++i) {
    Sequence& sequence = at(in_step[i]);
    TokenEvent event = ApplyTo(sequence, result.sequences[i]);
    const bool finished = event.finish != FinishReason::kNone;
    if (finished || event.has_token || !event.prompt_logprobs.empty()) events.push_back(std::move(event));
    if (finished) Remove(in_step[i]);
  }
  return events;
}

// The ranks refused the plan before they changed anything. The sequence at fault ends; the others keep their
// pages, and the next plan has their tokens again.
absl::StatusOr<std::vector<TokenEvent>> Scheduler::EndRefused(const model::Refusal& refusal) {
  if (std::find(in_step_.begin(), in_step_.end(), refusal.sequence) == in_step_.end()) {
    return absl::InternalError(absl::StrCat("the ranks refused step ", next_step_ - 1, " for sequence ",
                                            refusal.sequence,
                                            ", which is not in the step: ", refusal.reason));
  }
  ++totals_.plans_refused;
  std::vector<TokenEvent> events;
  for (SequenceId id : std::exchange(in_step_, {})) {
    Sequence& sequence = at(id);
    sequence.chunk = 0;
    TokenEvent event = EventOf(sequence);
    if (sequence.cancelled) {
      event.finish = FinishReason::kCancelled;
    } else if (id == refusal.sequence) {
      event.finish = FinishReason::kError;
      event.error = absl::InternalError(absl::StrCat("the ranks refused to compute this request (",
                                                     refusal.reason, "). This is a fault of the server"));
    } else {
      continue;
    }
    events.push_back(std::move(event));
    Remove(id);
  }
  return events;
}

absl::Status Scheduler::CheckStep(const model::StepResult& result) const {
  if (in_step_.empty() || result.epoch != epoch_ || result.step != next_step_ - 1) {
    return absl::InternalError(absl::StrCat("a result of epoch ", result.epoch, ", step ", result.step,
                                            " came; that of epoch ", epoch_, ", step ", next_step_ - 1,
                                            in_step_.empty() ? " has been applied" : " was due"));
  }
  return absl::OkStatus();
}

// The result comes from other machines, so all of it is compared with the plan before any part is used.
absl::Status Scheduler::CheckResult(const model::StepResult& result) const {
  if (result.sequences.size() != in_step_.size()) {
    return absl::InternalError(absl::StrCat("step ", result.step, " was given ", in_step_.size(),
                                            " sequences; its result has ", result.sequences.size()));
  }
  for (size_t i = 0; i < in_step_.size(); ++i) {
    const Sequence& sequence = *sequences_.at(in_step_[i]);
    const model::SequenceResult& answer = result.sequences[i];
    if (answer.sequence != sequence.id) {
      return absl::InternalError(absl::StrCat("step ", result.step, ": result ", i, " is of sequence ",
                                              answer.sequence, "; sequence ", sequence.id,
                                              " stood there in the plan"));
    }
    if (answer.non_finite) continue;
    const bool sampled =
        sequence.num_computed + sequence.chunk == sequence.size() && sequence.request.max_tokens > 0;
    if (answer.sampled != sampled) {
      return absl::InternalError(
          absl::StrCat("step ", result.step, ": sequence ", sequence.id,
                       sampled ? " has no token in the result" : " has a token nobody asked for"));
    }
    if (sequence.prompt_logprobs_due()) {
      // One entry for each chunk position whose next token is known: the next token is in the chunk, or is
      // the prompt's next one.
      const int32_t end = sequence.num_computed + sequence.chunk;
      const size_t entries = sequence.chunk - 1 + (end < sequence.prompt_size ? 1 : 0);
      if (answer.prompt_logprobs.size() != entries) {
        return absl::InternalError(absl::StrCat("step ", result.step, ": sequence ", sequence.id, " has ",
                                                answer.prompt_logprobs.size(), " prompt log-probabilities; ",
                                                entries, " were due"));
      }
    }
  }
  return absl::OkStatus();
}

TokenEvent Scheduler::ApplyTo(Sequence& sequence, const model::SequenceResult& result) {
  TokenEvent event = EventOf(sequence);
  if (sequence.decoding()) {  // the sequence has replayed all positions that a broken step took from it
    sequence.broken_steps = 0;
    suspects_.erase(&sequence);
  }
  if (result.non_finite) {
    EndNonFinite(sequence, *result.non_finite, event);
    return event;
  }
  const int32_t first_position = sequence.num_computed;
  sequence.num_computed += std::exchange(sequence.chunk, 0);
  const int32_t shared = std::min(sequence.num_computed, SharedEnd(sequence));
  sequence.blocks.Publish(absl::MakeConstSpan(sequence.tokens).first(shared));
  if (sequence.cancelled) {
    event.finish = FinishReason::kCancelled;
    return event;
  }
  TakePromptLogprobs(sequence, first_position, result, event);
  if (sequence.remaining() > 0) return event;

  if (sequence.output_size() == 0) {
    totals_.prompt_tokens += sequence.prompt_size;
    totals_.cached_prompt_tokens += sequence.cached_tokens;
  }
  if (result.sampled) {
    event.has_token = true;
    event.token = result.token;
    event.logprobs = result.logprobs;
    sequence.tokens.push_back(result.token);
    if (sequence.request.sampling.uses_penalties()) sequence.counter.AddOutput(result.token);
    ++totals_.generation_tokens;
    const std::vector<TokenId>& stops = sequence.request.stop_token_ids;
    const bool may_stop =
        !sequence.request.ignore_eos && sequence.output_size() > sequence.request.min_tokens;
    if (may_stop && std::find(stops.begin(), stops.end(), result.token) != stops.end()) {
      event.finish = FinishReason::kStop;
      return event;
    }
  }
  if (sequence.size() >= sequence.max_size) event.finish = FinishReason::kLength;
  return event;
}

// No later sequence may use this sequence's pages: one of them may hold the number that was not finite.
void Scheduler::EndNonFinite(Sequence& sequence, const model::NonFiniteRow& row, TokenEvent& event) {
  ++totals_.non_finite_logits;
  sequence.chunk = 0;
  sequence.blocks.Forget();
  if (sequence.cancelled) {
    event.finish = FinishReason::kCancelled;
    return;
  }
  event.finish = FinishReason::kError;
  event.non_finite = true;
  event.error =
      absl::InternalError(absl::StrCat("no token can be drawn for this request: ", model::Describe(row)));
}

// A replay after preemption has results for positions that were reported before. Those results are dropped.
void Scheduler::TakePromptLogprobs(Sequence& sequence, int32_t first_position,
                                   const model::SequenceResult& result, TokenEvent& event) {
  if (!sequence.prompt_logprobs_due()) return;
  for (size_t i = 0; i < result.prompt_logprobs.size(); ++i) {
    const int32_t position = first_position + static_cast<int32_t>(i) + 1;
    if (position < sequence.next_prompt_logprob || position >= sequence.prompt_size) continue;
    event.prompt_logprobs.push_back(result.prompt_logprobs[i]);
    sequence.next_prompt_logprob = position + 1;
  }
}

}  // namespace deeprack::coordinator
