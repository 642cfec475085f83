#include "coordinator/scheduler/scheduler.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "model/step/sampling_check.h"

namespace deeprack::coordinator {

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
  return model::CheckSampling(request.sampling);
}

Scheduler::Scheduler(const SchedulerLimits& limits, Epoch epoch) : limits_(limits), epoch_(epoch) {
  DR_CHECK(limits.dp > 0 && limits.blocks_per_dp_rank > 0 && limits.max_context > 0);
  DR_CHECK(limits.max_step_tokens > 0 && limits.max_sequences > 0);
  MakeGroups();
}

void Scheduler::MakeGroups() {
  groups_.clear();
  for (int32_t rank = 0; rank < limits_.dp; ++rank)
    groups_.push_back({.pool = BlockPool(limits_.blocks_per_dp_rank)});
}

absl::Status Scheduler::Add(SequenceId id, Request request) {
  DR_CHECK(id > last_id_);
  DR_RETURN_IF_ERROR(CheckRequest(limits_, request));
  last_id_ = id;
  auto sequence = std::make_unique<Sequence>();
  sequence->id = id;
  sequence->tokens = std::exchange(request.prompt, {});
  sequence->prompt_size = sequence->size();
  sequence->max_size = static_cast<int32_t>(
      std::min(limits_.positions(), int64_t{sequence->prompt_size} + request.max_tokens));
  sequence->request = std::move(request);
  if (sequence->request.sampling.uses_penalties()) sequence->counter.AddPrompt(sequence->tokens);
  sequences_.emplace(id, std::move(sequence));
  waiting_.insert(id);
  return absl::OkStatus();
}

std::optional<TokenEvent> Scheduler::Cancel(SequenceId id) {
  const auto found = sequences_.find(id);
  if (found == sequences_.end()) return std::nullopt;
  Sequence& sequence = *found->second;
  if (sequence.chunk > 0) {
    sequence.cancelled = true;
    return std::nullopt;
  }
  TokenEvent event{
      .sequence = id, .finish = FinishReason::kCancelled, .cached_tokens = sequence.cached_tokens};
  Remove(id);
  return event;
}

std::vector<TokenEvent> Scheduler::Abort(const absl::Status& why) {
  std::vector<TokenEvent> events;
  for (const auto& [id, sequence] : sequences_) {
    events.push_back({.sequence = id,
                      .finish = FinishReason::kError,
                      .error = why,
                      .cached_tokens = sequence->cached_tokens});
  }
  in_step_.clear();
  while (!sequences_.empty()) Remove(sequences_.begin()->first);
  return events;
}

void Scheduler::Remove(SequenceId id) {
  const Sequence& sequence = at(id);
  suspects_.erase(id);
  if (waiting_.erase(id) == 0) {
    groups_[sequence.dp_rank].running.erase(id);
    --running_;
  }
  sequences_.erase(id);  // its block table gives the blocks back
}

ServingStats Scheduler::Stats() const {
  ServingStats stats = totals_;
  stats.running = running_;
  stats.waiting = static_cast<int64_t>(waiting_.size());
  for (const Group& group : groups_) {
    stats.blocks_used += group.pool.held();
    stats.blocks_total += group.pool.size();
  }
  return stats;
}

}  // namespace deeprack::coordinator
