// Scheduler::Plan: who takes part in the next step, and with how many tokens.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "coordinator/scheduler/scheduler.h"

namespace deeprack::coordinator {

std::optional<model::StepPlan> Scheduler::Plan() {
  DR_CHECK(in_step_.empty() && !interrupted_);
  preempted_in_this_plan_ = false;
  for (Group& group : groups_) group.step_tokens_left = limits_.max_step_tokens;
  if (!suspects_.empty()) {
    PlanAlone(at(*suspects_.begin()));
  } else {
    PlanDecodes();
    PlanPrefills();
    if (!preempted_in_this_plan_) AdmitWaiting();
  }
  if (in_step_.empty()) return std::nullopt;

  model::StepPlan plan{.epoch = epoch_, .step = next_step_++};
  plan.sequences.reserve(in_step_.size());
  for (SequenceId id : in_step_) plan.sequences.push_back(PlanOf(at(id)));
  ++totals_.steps;
  return plan;
}

// The others wait, and keep their pages as far as the suspect does not need them. It fits alone, so the loops
// end.
void Scheduler::PlanAlone(Sequence& suspect) {
  if (waiting_.contains(suspect.id)) {
    std::optional<Placement> placement = Place(suspect);
    while (!placement.has_value() || running_ >= limits_.max_sequences) {
      PreemptYoungestBut(suspect);
      placement = Place(suspect);
    }
    Admit(suspect, *placement);
    return;
  }
  while (!suspect.blocks.Reserve(suspect.size())) PreemptYoungestBut(suspect);
  Schedule(suspect, std::min(suspect.remaining(), groups_[suspect.dp_rank].step_tokens_left));
}

void Scheduler::PreemptYoungestBut(const Sequence& spared) {
  SequenceId youngest = 0;
  for (const Group& group : groups_) {
    for (SequenceId id : group.running) {
      if (id != spared.id) youngest = std::max(youngest, id);
    }
  }
  DR_CHECK(youngest > 0);
  Preempt(at(youngest));
}

void Scheduler::PlanDecodes() {
  for (Group& group : groups_) {
    const std::vector<SequenceId> by_age(group.running.begin(), group.running.end());
    for (SequenceId id : by_age) {
      if (!group.running.contains(id)) continue;  // preempted for an older one
      Sequence& sequence = at(id);
      if (sequence.decoding() && ReserveOrPreempt(sequence)) Schedule(sequence, 1);
    }
  }
}

void Scheduler::PlanPrefills() {
  for (Group& group : groups_) {
    for (SequenceId id : group.running) {
      if (group.step_tokens_left == 0) break;
      Sequence& sequence = at(id);
      if (!sequence.decoding()) Schedule(sequence, std::min(sequence.remaining(), group.step_tokens_left));
    }
  }
}

void Scheduler::AdmitWaiting() {
  while (!waiting_.empty() && running_ < limits_.max_sequences) {
    Sequence& sequence = at(*waiting_.begin());
    std::optional<Placement> placement = Place(sequence);
    if (!placement.has_value()) return;
    Admit(sequence, *placement);
  }
}

void Scheduler::Admit(Sequence& sequence, const Placement& placement) {
  waiting_.erase(sequence.id);
  Group& group = groups_[placement.dp_rank];
  group.running.insert(sequence.id);
  ++running_;
  sequence.dp_rank = placement.dp_rank;
  sequence.blocks = BlockTable(&group.pool, sequence.request.cache_salt);
  sequence.blocks.Adopt(placement.cached);
  DR_CHECK(sequence.blocks.Reserve(sequence.size()));
  sequence.num_computed = static_cast<int32_t>(placement.cached.size()) * kPageTokens;
  if (!sequence.admitted_before) {
    sequence.admitted_before = true;
    sequence.cached_tokens = sequence.num_computed;
    totals_.prefix_cache_queries += sequence.prompt_size;
    totals_.prefix_cache_hits += sequence.cached_tokens;
  }
  Schedule(sequence, std::min(sequence.remaining(), group.step_tokens_left));
}

void Scheduler::Schedule(Sequence& sequence, int32_t tokens) {
  Group& group = groups_[sequence.dp_rank];
  DR_CHECK(tokens > 0 && tokens <= group.step_tokens_left);
  group.step_tokens_left -= tokens;
  sequence.chunk = tokens;
  in_step_.push_back(sequence.id);
}

// Makes sure that the sequence's next position has a slot. False when the sequence itself had to give way.
bool Scheduler::ReserveOrPreempt(Sequence& sequence) {
  Group& group = groups_[sequence.dp_rank];
  while (!sequence.blocks.Reserve(sequence.size())) {
    // The youngest is never one that this plan has scheduled: those are older than `sequence`.
    Sequence& youngest = at(*group.running.rbegin());
    Preempt(youngest);
    if (youngest.id == sequence.id) return false;
  }
  return true;
}

void Scheduler::Preempt(Sequence& sequence) {
  PutBack(sequence);
  preempted_in_this_plan_ = true;
  ++totals_.preemptions;
}

// Into the queue, without its pages.
void Scheduler::PutBack(Sequence& sequence) {
  DR_CHECK(sequence.chunk == 0);
  sequence.blocks.Clear();
  sequence.num_computed = 0;
  groups_[sequence.dp_rank].running.erase(sequence.id);
  --running_;
  waiting_.insert(sequence.id);
}

// The dp group to run a waiting sequence, and the cached pages that it starts from there; nullopt when none
// fits now.
std::optional<Scheduler::Placement> Scheduler::Place(const Sequence& sequence) const {
  // At least one token is computed, for its logits are wanted; and where log-probabilities of the prompt are
  // still due, everything from there on.
  int32_t reusable = std::min(sequence.size() - 1, SharedEnd(sequence));
  if (sequence.prompt_logprobs_due()) reusable = std::min(reusable, sequence.next_prompt_logprob - 1);
  const auto prefix = absl::MakeConstSpan(sequence.tokens).first(reusable);

  std::optional<Placement> best;
  int64_t best_score = -1;
  for (int32_t dp_rank = 0; dp_rank < limits_.dp; ++dp_rank) {
    const Group& group = groups_[dp_rank];
    if (group.step_tokens_left == 0) continue;
    if (group.running.size() >= static_cast<size_t>(limits_.max_step_tokens)) continue;
    std::vector<BlockPool::Page> cached = group.pool.Lookup(sequence.request.cache_salt, prefix);
    // A cached page that nobody holds counts as available until it is adopted.
    const auto unheld = std::count_if(cached.begin(), cached.end(), [&](const BlockPool::Page& page) {
      return group.pool.references(page.block) == 0;
    });
    const int64_t fresh = BlocksFor(sequence.size()) - static_cast<int64_t>(cached.size());
    if (fresh > group.pool.available() - unheld) continue;
    const int64_t score = static_cast<int64_t>(cached.size()) + group.pool.available() - unheld;
    if (score > best_score) {
      best_score = score;
      best = Placement{dp_rank, std::move(cached)};
    }
  }
  return best;
}

int32_t Scheduler::SharedEnd(const Sequence& sequence) const {
  return limits_.prefill_attention == model::PrefillAttention::kExpanded ? sequence.prompt_size
                                                                         : sequence.size();
}

model::SequencePlan Scheduler::PlanOf(const Sequence& sequence) const {
  const auto chunk = absl::MakeConstSpan(sequence.tokens).subspan(sequence.num_computed, sequence.chunk);
  const int32_t end = sequence.num_computed + sequence.chunk;
  model::SequencePlan plan;
  plan.sequence = sequence.id;
  plan.dp_rank = sequence.dp_rank;
  plan.prompt_size = sequence.prompt_size;
  plan.num_computed = sequence.num_computed;
  plan.token_ids.assign(chunk.begin(), chunk.end());
  const std::vector<BlockId>& blocks = sequence.blocks.blocks();
  plan.block_table.assign(blocks.begin(), blocks.begin() + BlocksFor(end));
  plan.sample = end == sequence.size() && sequence.request.max_tokens > 0;
  plan.sampling = sequence.request.sampling;
  if (plan.sample && plan.sampling.uses_penalties()) plan.token_counts = sequence.counter.counts();
  if (sequence.prompt_logprobs_due()) {
    plan.prompt_logprobs = sequence.request.prompt_logprobs;
    if (end < sequence.prompt_size) plan.next_prompt_token = sequence.tokens[end];
  }
  return plan;
}

}  // namespace deeprack::coordinator
