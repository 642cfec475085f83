#include "coordinator/scheduler/scheduler.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "model/step/sampling_check.h"

namespace deeprack::coordinator {

absl::Status CheckPlanSize(const SchedulerLimits& limits) {
  const int64_t room = limits.bytes_for_opened();
  const int64_t rows = model::MostHeaderBytes(limits.dp) + limits.max_sequences * model::kMostRowsBytes;
  const int64_t opened = model::MostOpenedBytes(limits.max_context, BlocksFor(limits.max_context), 0, 0);
  // A quarter of the message is for changes of pages: see InLayout.
  if (rows <= limits.max_message_bytes / 4 && opened <= room) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "the rows of ", limits.max_sequences, " sequences in each of ", limits.dp, " dp groups take up to ",
      rows, " bytes of a step's plan, and a sequence of ", limits.max_context, " positions takes ", opened,
      "; a plan has ", limits.max_message_bytes / 4, " for the first and ", room,
      " for the second: use fewer sequences, or a shorter context"));
}

SchedulerLimits InLayout(SchedulerLimits limits, int32_t blocks_per_dp_rank, int32_t dp) {
  const int64_t most_blocks = limits.max_message_bytes / 4 / model::kMostIdBytes;
  limits.blocks_per_dp_rank = static_cast<int32_t>(std::min<int64_t>(blocks_per_dp_rank, most_blocks));
  limits.dp = dp;
  return limits;
}

absl::Status CheckRequest(const SchedulerLimits& limits, const Request& request) {
  const auto prompt = static_cast<int64_t>(request.prompt.size());
  if (prompt == 0) return absl::InvalidArgumentError("the prompt is empty: at least one token is needed");
  if (request.max_tokens < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_tokens is ", request.max_tokens, "; it must be 0 or more"));
  }
  const int64_t needed = prompt + (request.max_tokens > 0 ? 1 : 0);
  if (needed > limits.max_context) {
    return absl::InvalidArgumentError(
        absl::StrCat("the prompt has ", prompt, " tokens; the maximum context length is ", limits.max_context,
                     " tokens, prompt and output together"));
  }
  const int64_t cache = int64_t{limits.blocks_per_dp_rank} * kPageTokens;
  if (needed > cache) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the prompt has ", prompt, " tokens; the KV cache holds ", cache, " (", limits.blocks_per_dp_rank,
        " pages of ", kPageTokens, " tokens): shorten the prompt, or start with more memory for it"));
  }
  // After a loss, the sequence is opened again with its output.
  const int64_t positions = std::min(limits.positions(), prompt + request.max_tokens);
  const auto biases = static_cast<int64_t>(request.sampling.logit_bias.size());
  const auto stops = static_cast<int64_t>(request.stop_token_ids.size());
  const int64_t constraint = ConstraintBytes(request);
  const int64_t bytes = model::MostOpenedBytes(positions, BlocksFor(positions), biases, stops, constraint);
  if (bytes > limits.bytes_for_opened()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the request takes up to ", bytes, " bytes of a step's plan, which has ", limits.bytes_for_opened(),
        " for new sequences (", positions, " tokens, ", biases, " logit biases, ", stops, " stop tokens, ",
        constraint, " bytes of a constraint): use a smaller max_tokens, or fewer biases"));
  }
  return model::CheckSampling(request.sampling);
}

Scheduler::Scheduler(const SchedulerLimits& limits, Epoch epoch)
    : limits_(limits),
      epoch_(epoch),
      draft_policy_(limits.drafts),
      prefill_pace_(limits.prefill_tokens_beside_decodes) {
  DR_CHECK(limits.drafts.most >= 0 && limits.drafts.most <= model::kMostSpeculativeTokens);
  DR_CHECK(limits.drafts.layers > 0 && limits.drafts.rows_per_read > 0);
  DR_CHECK(limits.dp > 0 && limits.blocks_per_dp_rank > 0 && limits.max_context > 0);
  DR_CHECK(limits.max_step_tokens > 0 && limits.max_sequences > 0 && limits.steps_under_way > 0);
  // The log-probabilities of one position must fit the half of a result that is for prompts.
  DR_CHECK(limits.max_message_bytes / 2 >= model::MostPositionLogprobsBytes(model::kMostTopLogprobs));
  MakeGroups();
}

void Scheduler::MakeGroups() {
  groups_.clear();
  for (const auto& [id, sequence] : sequences_) sequence->found.clear();
  for (int32_t rank = 0; rank < limits_.dp; ++rank)
    groups_.push_back({.pool = BlockPool(limits_.blocks_per_dp_rank)});
}

absl::Status Scheduler::Add(SequenceId id, Request request) {
  DR_CHECK(id > last_id_);
  DR_RETURN_IF_ERROR(CheckRequest(limits_, request));
  last_id_ = id;
  auto sequence = std::make_unique<Sequence>();
  sequence->id = id;
  sequence->order = {.priority = request.priority, .arrival = arrivals_++};
  sequence->tokens = std::exchange(request.prompt, {});
  sequence->prompt_size = sequence->size();
  sequence->end = {.stop_tokens = request.stop_token_ids,
                   .ignore_stops = request.ignore_eos,
                   .min_tokens = request.min_tokens,
                   .max_size = static_cast<int32_t>(
                       std::min(limits_.positions(), int64_t{sequence->prompt_size} + request.max_tokens))};
  sequence->request = std::move(request);
  ++live_;
  waiting_.insert(sequence.get());
  sequences_.emplace(id, std::move(sequence));
  return absl::OkStatus();
}

std::optional<TokenEvent> Scheduler::Cancel(SequenceId id) {
  const auto found = sequences_.find(id);
  if (found == sequences_.end() || found->second->ended) return std::nullopt;
  TokenEvent event = EventOf(*found->second);
  event.finish = FinishReason::kCancelled;
  End(*found->second);
  return event;
}

std::vector<TokenEvent> Scheduler::Abort(const absl::Status& why) {
  std::vector<TokenEvent> events;
  for (const auto& [id, sequence] : sequences_) {
    if (sequence->ended) continue;
    TokenEvent& event = events.emplace_back(EventOf(*sequence));
    event.finish = FinishReason::kError;
    event.error = why;
  }
  steps_.clear();
  while (!sequences_.empty()) Remove(*sequences_.begin()->second);
  live_ = 0;
  return events;
}

TokenEvent Scheduler::EndStalled() {
  DR_CHECK(steps_.empty() && !sequences_.empty());
  // The stalled sequence is the first suspect, which was to run alone. Without suspects it is the head of the
  // queue: a plan without work leaves no sequence running, because it schedules or preempts each of them.
  const SequenceSet& stalled = suspects_.empty() ? waiting_ : suspects_;
  DR_CHECK(!stalled.empty());
  Sequence& sequence = **stalled.begin();
  int64_t most_available = 0;
  for (const Group& group : groups_) {
    most_available = std::max<int64_t>(most_available, group.pool.available());
  }
  TokenEvent event = EventOf(sequence);
  event.finish = FinishReason::kError;
  event.error = absl::InternalError(absl::StrCat(
      "the scheduler found no step for this request: its ", sequence.size(), " tokens take ",
      BlocksFor(sequence.size()), " pages of the KV cache, and a dp group has at most ", most_available,
      " of ", limits_.blocks_per_dp_rank, " free. This is a fault of the server"));
  End(sequence);
  return event;
}

void Scheduler::End(Sequence& sequence) {
  sequence.ended = true;
  --live_;
  suspects_.erase(&sequence);
  waiting_.erase(&sequence);
  // With steps under way the slot stays open, so the next plan still tells which of its pages were replaced.
  if (sequence.dp_rank >= 0) groups_[sequence.dp_rank].running.erase(&sequence);
  if (sequence.steps_under_way == 0) Remove(sequence);
}

void Scheduler::Remove(Sequence& sequence) {
  suspects_.erase(&sequence);
  waiting_.erase(&sequence);
  if (sequence.dp_rank >= 0) LeaveGroup(sequence);
  sequences_.erase(sequence.id);
}

ServingStats Scheduler::Stats() const {
  ServingStats stats = totals_;
  stats.most_drafts = limits_.drafts.most;
  stats.waiting = static_cast<int64_t>(waiting_.size());
  for (const Group& group : groups_) {
    stats.running += std::ssize(group.running);
    stats.blocks_used += group.pool.held();
    stats.blocks_total += group.pool.size();
  }
  return stats;
}

}  // namespace deeprack::coordinator
