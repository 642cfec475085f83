// Scheduler::Apply: the effect of a step's result on each of its sequences.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "coordinator/scheduler/scheduler.h"

namespace deeprack::coordinator {
namespace {

using Entry = StepUnderWay::Entry;

// What is wrong with the number and the order of the tokens of an answer, "" if nothing.
std::string FaultOfTokens(const Entry& entry, const std::vector<TokenId>& tokens) {
  const int64_t least = entry.draws ? 1 : 0, most = least + entry.drafts, count = std::ssize(tokens);
  if (count < least || count > most) {
    return absl::StrCat("has ", count, " tokens; ", least == most ? "" : absl::StrCat(least, " to "), most,
                        " were due");
  }
  const Sequence& sequence = *entry.sequence;
  for (int32_t i = 0; i + 1 < count; ++i) {
    const model::SequenceEnd end = model::EndAfter(sequence.end, sequence.prompt_size,
                                                   sequence.size() + i + 1, tokens[static_cast<size_t>(i)]);
    if (end != model::SequenceEnd::kNone) return absl::StrCat("goes on after its end, token ", tokens[i]);
  }
  return "";
}

// The prompt tokens whose log-probabilities the ranks owe: the tokens after the entry's rows.
int64_t ScoresDue(const Entry& entry) {
  if (!entry.scores) return 0;
  return std::max(0, std::min(entry.first + entry.rows, entry.sequence->prompt_size - 1) - entry.first);
}

bool TooManyTop(const std::vector<model::PositionLogprobs>& positions, int32_t asked) {
  return std::ranges::any_of(positions, [&](const model::PositionLogprobs& position) {
    return std::ssize(position.top) > std::max(asked, 0);
  });
}

// What is wrong with an answer, "" if nothing. The answer comes from another machine.
std::string FaultOf(const Entry& entry, const model::SequenceResult& answer) {
  const Sequence& sequence = *entry.sequence;
  const model::SamplingParams& sampling = sequence.request.sampling;
  if (answer.sequence != sequence.id) {
    return absl::StrCat("stands where sequence ", answer.sequence, " has its result");
  }
  if (sequence.ended) return "";  // only whether the sequence failed is used
  if (answer.non_finite || !answer.refused.empty()) {
    if (!answer.tokens.empty() || !answer.logprobs.empty()) return "failed and has a token";
    if (!answer.non_finite) return "";
    const int32_t position = answer.non_finite->position;
    if (position >= entry.first && position < entry.first + entry.rows) return "";
    return absl::StrCat("has a row that is not finite at position ", position, ", which is not in the step");
  }
  if (std::string fault = FaultOfTokens(entry, answer.tokens); !fault.empty()) return fault;
  const int64_t logprobs = sampling.top_logprobs < 0 ? 0 : std::ssize(answer.tokens);
  if (std::ssize(answer.logprobs) != logprobs) {
    return absl::StrCat("has log-probabilities of ", answer.logprobs.size(), " tokens; ", logprobs,
                        " were due");
  }
  if (std::ssize(answer.prompt_logprobs) != ScoresDue(entry)) {
    return absl::StrCat("has ", answer.prompt_logprobs.size(), " prompt log-probabilities; ",
                        ScoresDue(entry), " were due");
  }
  if (TooManyTop(answer.logprobs, sampling.top_logprobs) ||
      TooManyTop(answer.prompt_logprobs, sequence.request.prompt_logprobs)) {
    return "has more log-probabilities at one position than were asked for";
  }
  return "";
}

}  // namespace

absl::StatusOr<std::vector<TokenEvent>> Scheduler::Apply(const model::StepResult& result) {
  DR_RETURN_IF_ERROR(CheckStep(result));
  DR_RETURN_IF_ERROR(CheckResult(result));
  std::vector<TokenEvent> events;
  const StepUnderWay step = std::move(steps_.front());
  steps_.pop_front();
  ObservePace(step, result);
  int64_t step_tokens = 0;
  for (size_t g = 0; g < step.groups.size(); ++g) {
    for (size_t i = 0; i < step.groups[g].size(); ++i) {
      const Entry& entry = step.groups[g][i];
      step_tokens += entry.rows;
      --entry.sequence->steps_under_way;
      entry.sequence->draws_under_way -= entry.draws ? 1 : 0;
      ApplyTo(entry, result.groups[g][i], events);
    }
  }
  totals_.step_tokens.Add(step_tokens);
  return events;
}

void Scheduler::ObservePace(const StepUnderWay& step, const model::StepResult& result) {
  int32_t most_decodes = 0, most_prompt_tokens = 0;
  for (const std::vector<Entry>& group : step.groups) {
    int32_t decodes = 0, prompt_tokens = 0;
    for (const Entry& entry : group) {
      decodes += entry.decodes ? 1 : 0;
      prompt_tokens += entry.decodes ? 0 : entry.rows;
    }
    most_decodes = std::max(most_decodes, decodes);
    most_prompt_tokens = std::max(most_prompt_tokens, prompt_tokens);
  }
  double seconds = 0;
  for (const model::StepTimings& rank : result.rank_timings) seconds = std::max(seconds, rank.total_seconds);
  prefill_pace_.Observe(most_decodes, most_prompt_tokens, seconds);
}

absl::Status Scheduler::CheckStep(const model::StepResult& result) const {
  const StepId due = steps_.empty() ? next_step_ : steps_.front().step;
  if (!steps_.empty() && result.epoch == epoch_ && result.step == due) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("a result of epoch ", result.epoch, ", step ", result.step,
                                          " came; that of epoch ", epoch_, ", step ", due,
                                          steps_.empty() ? " has not been planned" : " was due"));
}

// All of the result is compared with the plan before any part is used.
absl::Status Scheduler::CheckResult(const model::StepResult& result) const {
  const StepUnderWay& step = steps_.front();
  if (result.groups.size() != step.groups.size()) {
    return absl::InternalError(absl::StrCat("the result of step ", result.step, " has ", result.groups.size(),
                                            " dp groups; the plan has ", step.groups.size()));
  }
  for (size_t g = 0; g < step.groups.size(); ++g) {
    if (result.groups[g].size() != step.groups[g].size()) {
      return absl::InternalError(absl::StrCat("step ", result.step, " gave dp group ", g, " ",
                                              step.groups[g].size(), " sequences; its result has ",
                                              result.groups[g].size()));
    }
    for (size_t i = 0; i < step.groups[g].size(); ++i) {
      const std::string fault = FaultOf(step.groups[g][i], result.groups[g][i]);
      if (fault.empty()) continue;
      return absl::InternalError(
          absl::StrCat("step ", result.step, ": sequence ", step.groups[g][i].sequence->id, " ", fault));
    }
  }
  return absl::OkStatus();
}

void Scheduler::ApplyTo(const Entry& entry, const model::SequenceResult& result,
                        std::vector<TokenEvent>& events) {
  Sequence& sequence = *entry.sequence;
  if (sequence.ended) {
    if (result.non_finite) ForgetPages(entry);
    sequence.ended_on_ranks |= result.non_finite.has_value() || !result.refused.empty();
    if (sequence.steps_under_way > 0) return;
    if (!sequence.ended_on_ranks) TakeComputed(entry, 0);
    Remove(sequence);
    return;
  }
  if (entry.decodes) {  // the sequence has replayed all positions that an interruption took from it
    sequence.broken_steps = 0;
    suspects_.erase(&sequence);
  }
  TokenEvent event = EventOf(sequence);
  if (!result.refused.empty()) {
    EndRefused(sequence, result.refused, event);
  } else if (result.non_finite) {
    EndNonFinite(entry, *result.non_finite, event);
  } else {
    if (sequence.output_size() == 0 && entry.first + entry.rows == sequence.prompt_size) {
      totals_.prompt_tokens += sequence.prompt_size;
      totals_.cached_prompt_tokens += sequence.cached_tokens;
    }
    TakePromptLogprobs(entry, result, event);
    if (!result.tokens.empty()) {
      TakeTokens(entry, result, event, events);
    } else if (entry.first + entry.rows >= sequence.end.max_size) {
      event.finish = FinishReason::kLength;  // nothing was to be drawn
    }
    TakeComputed(entry, std::ssize(result.tokens));
  }
  const bool finished = event.finish != FinishReason::kNone;
  if (finished || event.has_token || !event.prompt_logprobs.empty()) events.push_back(std::move(event));
  if (finished) End(sequence);
}

// Positions of this step, and all before, are in the cache. Others may use their full pages. A draft's
// position counts once the draft is accepted.
void Scheduler::TakeComputed(const Entry& entry, int64_t tokens) {
  Sequence& sequence = *entry.sequence;
  if (sequence.slot < 0) return;  // preempted since
  const auto accepted = static_cast<int32_t>(std::max<int64_t>(0, tokens - 1));
  const int32_t computed = entry.first + entry.rows - entry.drafts + accepted;
  const int32_t shared = std::min({computed, SharedEnd(sequence), sequence.size()});
  sequence.blocks.Publish(absl::MakeConstSpan(sequence.tokens).first(shared));
  if (!sequence.ended && sequence.blocks.first_changed() < std::ssize(sequence.blocks.blocks()))
    MarkChanged(sequence);
}

// `event` becomes the event of the last token. The events of the tokens before it go into `events`.
void Scheduler::TakeTokens(const Entry& entry, const model::SequenceResult& result, TokenEvent& event,
                           std::vector<TokenEvent>& events) {
  Sequence& sequence = *entry.sequence;
  const auto accepted = static_cast<int32_t>(result.tokens.size()) - 1;
  for (int32_t i = 0; i < accepted; ++i) {
    event.accepted_drafts = ++sequence.accepted_drafts;
    if (!result.logprobs.empty()) event.logprobs = result.logprobs[static_cast<size_t>(i)];
    TakeToken(sequence, result.tokens[static_cast<size_t>(i)], event);
    events.push_back(std::exchange(event, EventOf(sequence)));
  }
  event.rejected_drafts = sequence.rejected_drafts += entry.drafts - accepted;
  if (!result.logprobs.empty()) event.logprobs = result.logprobs.back();
  TakeToken(sequence, result.tokens.back(), event);
  if (entry.drafts == 0) return;
  sequence.num_planned += accepted;
  totals_.drafts.Add(entry.drafts, accepted);
  // Drafts behind the sequence's end were not judged.
  draft_policy_.Observe(event.finish == FinishReason::kNone ? entry.drafts : accepted, accepted);
}

void Scheduler::TakeToken(Sequence& sequence, TokenId token, TokenEvent& event) {
  event.has_token = true;
  event.token = token;
  sequence.found.clear();
  sequence.tokens.push_back(token);
  ++totals_.generation_tokens;
  switch (model::EndAfter(sequence.end, sequence.prompt_size, sequence.size(), token)) {
    case model::SequenceEnd::kNone:
      return;
    case model::SequenceEnd::kStop:
      event.finish = FinishReason::kStop;
      break;
    case model::SequenceEnd::kLength:
      event.finish = FinishReason::kLength;
      break;
  }
  sequence.ended_on_ranks = true;
}

void Scheduler::EndRefused(Sequence& sequence, const std::string& reason, TokenEvent& event) {
  ++totals_.sequences_refused;
  sequence.ended_on_ranks = true;
  event.finish = FinishReason::kError;
  event.error = absl::InternalError(absl::StrCat("the ranks refused to compute this request (", reason,
                                                 "). This is a fault of the server"));
}

// No later sequence may use this sequence's pages: one of them may hold the number that was not finite.
void Scheduler::EndNonFinite(const Entry& entry, const model::NonFiniteRow& row, TokenEvent& event) {
  Sequence& sequence = *entry.sequence;
  ++totals_.non_finite_logits;
  sequence.ended_on_ranks = true;
  ForgetPages(entry);
  event.finish = FinishReason::kError;
  event.non_finite = true;
  event.error =
      absl::InternalError(absl::StrCat("no token can be drawn for this request: ", model::Describe(row)));
}

// A preempted sequence has no pages of its own any more. Those that it published are found by its tokens.
void Scheduler::ForgetPages(const Entry& entry) {
  Sequence& sequence = *entry.sequence;
  sequence.blocks.Forget();
  groups_[entry.dp_rank].pool.ForgetKnown(sequence.request.cache_salt, sequence.tokens);
}

// A replay after preemption has results for positions that were reported before. Those results are dropped.
void Scheduler::TakePromptLogprobs(const Entry& entry, const model::SequenceResult& result,
                                   TokenEvent& event) {
  Sequence& sequence = *entry.sequence;
  for (size_t i = 0; i < result.prompt_logprobs.size(); ++i) {
    const int32_t position = entry.first + static_cast<int32_t>(i) + 1;
    if (position < sequence.next_prompt_logprob) continue;
    event.prompt_logprobs.push_back(result.prompt_logprobs[i]);
    sequence.next_prompt_logprob = position + 1;
  }
}

}  // namespace deeprack::coordinator
