// Scheduler::Plan: which sequences take part in the next step, and with how many tokens.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "coordinator/scheduler/scheduler.h"

namespace deeprack::coordinator {
namespace {

// A token with this bias is never drawn while a token without it can be. The bias is finite, so that sums,
// penalties and temperatures give finite logits.
constexpr float kForbidden = -1e30f;

void ForbidTokens(const std::vector<TokenId>& tokens, model::SamplingParams& sampling) {
  std::vector<std::pair<TokenId, float>>& biases = sampling.logit_bias;
  for (const TokenId token : tokens) {
    const auto same = [token](const auto& bias) { return bias.first == token; };
    const auto found = std::find_if(biases.begin(), biases.end(), same);
    if (found != biases.end()) {
      found->second = kForbidden;
    } else {
      biases.emplace_back(token, kForbidden);
    }
  }
}

}  // namespace

std::optional<model::StepPlan> Scheduler::Plan() {
  DR_CHECK(in_step_.empty() && !interrupted_);
  preempted_in_this_plan_ = false;
  for (Group& group : groups_) {
    group.step_tokens_left = limits_.max_step_tokens;
    group.logprob_bytes_left = limits_.max_message_bytes / 2;  // decodes use the other half: see Place
  }
  if (!suspects_.empty()) {
    PlanAlone(**suspects_.begin());
  } else {
    PreemptToFitMessage();
    PlanDecodes();
    PlanPrefills();
    if (!preempted_in_this_plan_ || in_step_.empty()) AdmitWaiting();
  }
  if (in_step_.empty()) return std::nullopt;

  model::StepPlan plan{.epoch = epoch_, .step = next_step_++};
  plan.sequences.reserve(in_step_.size());
  for (SequenceId id : in_step_) plan.sequences.push_back(PlanOf(at(id)));
  ++totals_.steps;
  return plan;
}

// Plans only the suspect. The other sequences wait; they keep their pages unless the suspect needs them.
void Scheduler::PlanAlone(Sequence& suspect) {
  if (waiting_.contains(&suspect)) {
    std::optional<Placement> placement = Place(suspect);
    while (!placement.has_value()) {
      Sequence* const last = LastRunningBut(&suspect);
      if (last == nullptr) return;
      Preempt(*last);
      placement = Place(suspect);
    }
    Admit(suspect, *placement);
    return;
  }
  while (!suspect.blocks.Reserve(suspect.size())) {
    Sequence* const last = LastRunningBut(&suspect);
    if (last == nullptr) return;
    Preempt(*last);
  }
  ScheduleChunk(suspect);
}

// The last running sequence other than `spared`; nullptr if there is none.
Sequence* Scheduler::LastRunningBut(const Sequence* spared) {
  Sequence* last = nullptr;
  for (const Group& group : groups_) {
    for (auto it = group.running.rbegin(); it != group.running.rend(); ++it) {
      if (*it == spared) continue;
      if (last == nullptr || last->order < (*it)->order) last = *it;
      break;
    }
  }
  return last;
}

// The first running sequence is never preempted here: each sequence fits alone (CheckRequest).
void Scheduler::PreemptToFitMessage() {
  plan_bytes_ = 0;
  const Sequence* first = nullptr;
  for (const Group& group : groups_) {
    for (const Sequence* sequence : group.running) {
      plan_bytes_ += PlanBytes(*sequence);
      if (first == nullptr || sequence->order < first->order) first = sequence;
    }
  }
  while (plan_bytes_ > limits_.plan_bytes_for_sequences()) {
    Sequence* const last = LastRunningBut(first);
    if (last == nullptr) return;
    plan_bytes_ -= PlanBytes(*last);
    Preempt(*last);
  }
}

// An upper bound on the bytes of this sequence in the plan, without its chunk.
int64_t Scheduler::PlanBytes(const Sequence& sequence) const {
  return model::MostSequencePlanBytes(BlocksFor(sequence.size()), sequence.counter.size(),
                                      sequence.request.most_biases());
}

// An upper bound on the result's bytes when every sequence of the group samples.
int64_t Scheduler::DecodeResultBytes(const Group& group) const {
  int64_t bytes = 0;
  for (const Sequence* sequence : group.running) {
    bytes += model::MostSequenceResultBytes(sequence->request.sampling.top_logprobs);
  }
  return bytes;
}

void Scheduler::PlanDecodes() {
  for (Group& group : groups_) {
    const std::vector<Sequence*> in_order(group.running.begin(), group.running.end());
    for (Sequence* sequence : in_order) {
      if (!group.running.contains(sequence)) continue;  // this loop preempted it for an earlier one
      if (sequence->decoding() && ReserveOrPreempt(*sequence)) Schedule(*sequence, 1);
    }
  }
}

void Scheduler::PlanPrefills() {
  for (Group& group : groups_) {
    for (Sequence* sequence : group.running) {
      if (group.step_tokens_left == 0) break;
      if (!sequence->decoding()) ScheduleChunk(*sequence);
    }
  }
}

void Scheduler::AdmitWaiting() {
  while (!waiting_.empty()) {
    Sequence& sequence = **waiting_.begin();
    if (plan_bytes_ + PlanBytes(sequence) > limits_.plan_bytes_for_sequences()) return;
    std::optional<Placement> placement = Place(sequence);
    if (!placement.has_value()) return;
    plan_bytes_ += PlanBytes(sequence);
    Admit(sequence, *placement);
  }
}

void Scheduler::Admit(Sequence& sequence, const Placement& placement) {
  waiting_.erase(&sequence);
  found_ = {};
  Group& group = groups_[placement.dp_rank];
  group.running.insert(&sequence);
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
  ScheduleChunk(sequence);
}

// Schedules the next chunk of a prefill: as many tokens as the group's share of the step allows, perhaps
// none.
void Scheduler::ScheduleChunk(Sequence& sequence) {
  Group& group = groups_[sequence.dp_rank];
  int32_t tokens = std::min(sequence.remaining(), group.step_tokens_left);
  if (sequence.prompt_logprobs_due()) {
    const int64_t bytes = model::MostPositionLogprobsBytes(sequence.request.prompt_logprobs);
    tokens = static_cast<int32_t>(std::min<int64_t>(tokens, group.logprob_bytes_left / bytes));
    group.logprob_bytes_left -= tokens * bytes;
  }
  if (tokens > 0) Schedule(sequence, tokens);
}

void Scheduler::Schedule(Sequence& sequence, int32_t tokens) {
  Group& group = groups_[sequence.dp_rank];
  DR_CHECK(tokens > 0 && tokens <= group.step_tokens_left);
  group.step_tokens_left -= tokens;
  sequence.chunk = tokens;
  in_step_.push_back(sequence.id);
}

// Gives the sequence's next position a slot. Returns false when the sequence itself was preempted.
bool Scheduler::ReserveOrPreempt(Sequence& sequence) {
  Group& group = groups_[sequence.dp_rank];
  while (!sequence.blocks.Reserve(sequence.size())) {
    // This plan has scheduled only sequences earlier than `sequence`, so it has not scheduled the last one.
    Sequence& last = **group.running.rbegin();
    Preempt(last);
    if (&last == &sequence) return false;
  }
  return true;
}

void Scheduler::Preempt(Sequence& sequence) {
  PutBack(sequence);
  preempted_in_this_plan_ = true;
  ++totals_.preemptions;
  ++sequence.preemptions;
}

// Moves a running sequence into the queue and frees its pages.
void Scheduler::PutBack(Sequence& sequence) {
  DR_CHECK(sequence.chunk == 0);
  sequence.blocks.Clear();
  sequence.num_computed = 0;
  groups_[sequence.dp_rank].running.erase(&sequence);
  waiting_.insert(&sequence);
}

// The dp group that can run a waiting sequence, and the cached pages from which the sequence starts there.
// nullopt if no group has room now.
std::optional<Scheduler::Placement> Scheduler::Place(const Sequence& sequence) {
  // The last token is always computed, for its logits. If log-probabilities of the prompt are still due,
  // every position from the first due one on is computed.
  int32_t reusable = std::min(sequence.size() - 1, SharedEnd(sequence));
  if (sequence.prompt_logprobs_due()) reusable = std::min(reusable, sequence.next_prompt_logprob - 1);
  const auto prefix = absl::MakeConstSpan(sequence.tokens).first(reusable);
  // A waiting sequence keeps its tokens and so its prefix; Admit and MakeGroups empty `found_`.
  if (found_.sequence != sequence.id) {
    found_ = {.sequence = sequence.id, .in_group = std::vector<BlockPool::Prefix>(limits_.dp)};
  }

  const int64_t result_bytes = model::MostSequenceResultBytes(sequence.request.sampling.top_logprobs);

  int32_t best = -1;
  int64_t best_score = -1;
  for (int32_t dp_rank = 0; dp_rank < limits_.dp; ++dp_rank) {
    const Group& group = groups_[dp_rank];
    if (group.step_tokens_left == 0) continue;
    if (std::ssize(group.running) >= std::min(limits_.max_step_tokens, limits_.max_sequences)) continue;
    if (!group.running.empty() && DecodeResultBytes(group) + result_bytes > limits_.max_message_bytes / 2) {
      continue;
    }
    group.pool.Update(sequence.request.cache_salt, prefix, found_.in_group[dp_rank]);
    const std::vector<BlockPool::Page>& cached = found_.in_group[dp_rank].pages;
    const int64_t fresh = BlocksFor(sequence.size()) - static_cast<int64_t>(cached.size());
    if (fresh > group.pool.available()) continue;
    // Cached pages without a holder count as available. Adopting them takes them away.
    const auto unheld = std::count_if(cached.begin(), cached.end(), [&](const BlockPool::Page& page) {
      return group.pool.references(page.block) == 0;
    });
    if (fresh > group.pool.available() - unheld) continue;
    const int64_t score = static_cast<int64_t>(cached.size()) + group.pool.available() - unheld;
    if (score > best_score) {
      best_score = score;
      best = dp_rank;
    }
  }
  if (best < 0) return std::nullopt;
  return Placement{best, found_.in_group[best].pages};
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
  if (plan.sample && sequence.below_min_tokens())
    ForbidTokens(sequence.request.stop_token_ids, plan.sampling);
  if (plan.sample && plan.sampling.uses_penalties()) plan.token_counts = sequence.counter.counts();
  if (sequence.prompt_logprobs_due()) {
    plan.prompt_logprobs = sequence.request.prompt_logprobs;
    if (end < sequence.prompt_size) plan.next_prompt_token = sequence.tokens[end];
  }
  return plan;
}

}  // namespace deeprack::coordinator
