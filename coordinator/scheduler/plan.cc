// Scheduler::Plan: which sequences take part in the next step, and with how many tokens.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "coordinator/scheduler/scheduler.h"

namespace deeprack::coordinator {
namespace {

// The most sequences of the queue that a plan looks at for short ones.
constexpr int32_t kLookAhead = 16;

}  // namespace

std::optional<model::StepPlan> Scheduler::Plan() {
  DR_CHECK(!interrupted_);
  if (steps_under_way() >= limits_.steps_under_way) return std::nullopt;
  if (!suspects_.empty() && !steps_.empty()) return std::nullopt;
  if (!steps_.empty() && steps_.back().speculates) return std::nullopt;  // positions are not known
  preempted_in_this_plan_ = false;
  next_drafts_ = 0;
  plan_ = {.header = {.epoch = epoch_, .step = next_step_}};
  plan_.groups.resize(groups_.size());
  planned_ = {.step = next_step_};
  planned_.groups.resize(groups_.size());
  for (Group& group : groups_) {
    group.step_tokens_left = limits_.max_step_tokens;
    group.opened_bytes_left = limits_.bytes_for_opened();
    group.first_unfinished.reset();
    group.logprob_bytes_left = limits_.max_message_bytes / 2;  // decodes use the other half: see Place
    group.decodes.clear();
    group.drafts_left = 0;
  }
  if (!suspects_.empty()) {
    PlanAlone(**suspects_.begin());
  } else {
    ChooseDecodes();
    PlanDecodes();
    PlanPrefills();
    if (!preempted_in_this_plan_ || planned_.sequences() == 0) AdmitWaiting();
    if (!preempted_in_this_plan_) AdmitShort();
  }
  if (planned_.sequences() == 0) return std::nullopt;
  return FinishPlan();
}

// Adds what the ranks must be told apart from rows, and puts the step under way.
model::StepPlan Scheduler::FinishPlan() {
  plan_.header.decodes_only = true;
  for (size_t g = 0; g < groups_.size(); ++g) {
    Group& group = groups_[g];
    model::GroupPlan& out = plan_.groups[g];
    out.closed = std::exchange(group.closing, {});
    TellPages(group, out);
    int32_t rows = 0;
    for (const Entry& entry : planned_.groups[g]) {
      rows += entry.rows;
      plan_.header.decodes_only &= entry.decodes;
    }
    plan_.header.rows_of_group.push_back(rows);
    CountDrafting(g);
  }
  ++next_step_;
  ++totals_.steps;
  steps_.push_back(std::move(planned_));
  return std::move(plan_);
}

// Adds the group's sequences to StepHeader::drafting.
void Scheduler::CountDrafting(size_t group) {
  std::vector<std::vector<int32_t>>& drafting = plan_.header.drafting;
  for (const model::SequenceRows& rows : plan_.groups[group].rows) {
    planned_.speculates |= rows.drafts > 0 || rows.next_drafts > 0;
    while (std::ssize(drafting) < rows.next_drafts) drafting.emplace_back(groups_.size(), 0);
    for (int32_t d = 0; d < rows.next_drafts; ++d) ++drafting[static_cast<size_t>(d)][group];
  }
}

// A page that one sequence gives back may be a new page of another one. So all replaced entries come before
// all new ones.
void Scheduler::TellPages(Group& group, model::GroupPlan& out) {
  const auto tell = [&out](const Sequence& sequence, int32_t first, int32_t end) {
    if (first >= end) return;
    const auto begin = sequence.blocks.blocks().begin();
    out.pages.push_back({.slot = sequence.slot, .first = first, .pages = {begin + first, begin + end}});
  };
  const std::vector<Sequence*> changed = std::exchange(group.changed, {});
  for (const Sequence* sequence : changed) {
    tell(*sequence, sequence->blocks.first_changed(), sequence->blocks.told());
  }
  for (Sequence* sequence : changed) {
    sequence->changed = false;
    if (sequence->slot < 0) {  // it has had no rows yet; the plan that opens it tells its pages
      MarkChanged(*sequence);
      continue;
    }
    tell(*sequence, sequence->blocks.told(), static_cast<int32_t>(sequence->blocks.blocks().size()));
    sequence->blocks.Told();
  }
}

// Plans only the suspect, without drafts. The other sequences wait; they keep their pages unless the suspect
// needs them.
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
  while (!suspect.blocks.Reserve(suspect.planned_size())) {
    Sequence* const last = LastRunningBut(&suspect);
    if (last == nullptr) return;
    Preempt(*last);
  }
  ScheduleChunk(suspect, groups_[suspect.dp_rank].step_tokens_left);
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

// An upper bound on the bytes that opening this sequence takes.
int64_t Scheduler::OpenedBytes(const Sequence& sequence) const {
  return model::MostOpenedBytes(sequence.size(), BlocksFor(sequence.size()),
                                std::ssize(sequence.request.sampling.logit_bias),
                                std::ssize(sequence.end.stop_tokens), ConstraintBytes(sequence.request));
}

// An upper bound on the bytes of a sequence in a result, without its prompt's log-probabilities.
int64_t Scheduler::ResultBytes(const Sequence& sequence) const {
  return model::MostSequenceResultBytes(sequence.request.sampling.top_logprobs, limits_.drafts.most);
}

// An upper bound on the result's bytes when every sequence of the group samples.
int64_t Scheduler::DecodeResultBytes(const Group& group) const {
  int64_t bytes = 0;
  for (const Sequence* sequence : group.running) bytes += ResultBytes(*sequence);
  return bytes;
}

// Gives each decode the page of its next token, and preempts where there is none.
void Scheduler::ChooseDecodes() {
  for (Group& group : groups_) {
    const std::vector<Sequence*> in_order(group.running.begin(), group.running.end());
    for (Sequence* sequence : in_order) {
      // This loop may have preempted it for an earlier one.
      if (preempted_in_this_plan_ && !group.running.contains(sequence)) continue;
      if (!sequence->decoding() || sequence->drawn_out()) continue;
      if (ReserveOrPreempt(*sequence)) group.decodes.push_back(sequence);
    }
  }
}

// Schedules the decodes with their drafts, and leaves the tokens for prompts in step_tokens_left. Drafts get
// what decodes and prompts leave of a step. Decodes of all groups wait for the whole step, so the prompts of
// all groups are limited if any of them has a decode.
void Scheduler::PlanDecodes() {
  size_t most_decodes = 0;
  for (const Group& group : groups_) most_decodes = std::max(most_decodes, group.decodes.size());
  // A sequence whose prompt ends in this step decodes in the next one.
  next_drafts_ = draft_policy_.Choose(std::max<int64_t>(1, static_cast<int64_t>(most_decodes)));
  if (most_decodes == 0) return;
  CountBacklogs();
  const bool prompts = std::ranges::any_of(groups_, [](const Group& group) { return group.backlog > 0; });
  const int32_t pace = prompts ? prefill_pace_.TokensBeside(static_cast<int32_t>(most_decodes)) : 0;
  for (Group& group : groups_) {
    const int64_t backlog = group.backlog;
    const int32_t most_prefill = pace == 0 ? 0 : PrefillTokensBesideDecodes(backlog, pace);
    const auto left = group.step_tokens_left - static_cast<int32_t>(group.decodes.size());
    group.drafts_left = left - static_cast<int32_t>(std::min<int64_t>({left, most_prefill, backlog}));
    for (Sequence* sequence : group.decodes) {
      const int32_t drafts = DraftsOf(*sequence, group);
      group.drafts_left -= drafts;
      Schedule(*sequence, 1 + drafts, drafts);
    }
    group.step_tokens_left = std::min(group.step_tokens_left, most_prefill);
  }
}

// The tokens of prompts that each group has yet to compute. Waiting ones may come to any group.
void Scheduler::CountBacklogs() {
  int64_t waiting = 0;
  for (const Sequence* sequence : waiting_) waiting += sequence->size();
  for (Group& group : groups_) {
    group.backlog = (waiting + limits_.dp - 1) / limits_.dp;
    for (const Sequence* sequence : group.running) {
      if (!sequence->decoding()) group.backlog += sequence->remaining();
    }
  }
}

// The drafts of a decode that the step verifies. A sequence is never preempted for a draft's page.
int32_t Scheduler::DraftsOf(Sequence& sequence, const Group& group) {
  int32_t drafts = std::min({sequence.drafts, sequence.most_drafts(), group.drafts_left});
  while (drafts > 0 && !sequence.blocks.Reserve(sequence.num_planned + 1 + drafts)) --drafts;
  return drafts;
}

// The drafts that the ranks make after the draw of `rows`. If all drafts of `rows` are accepted, there is
// room for all of the next ones before the sequence's end. The MTP layer writes to the positions of all but
// the last one.
int32_t Scheduler::NextDraftsOf(Sequence& sequence, int32_t rows, int32_t drafts) {
  int32_t next = std::min(next_drafts_, sequence.most_drafts() - 1 - drafts);
  while (next > 0 && !sequence.blocks.Reserve(sequence.num_planned + rows + next - 1)) --next;
  return std::max(0, next);
}

void Scheduler::PlanPrefills() {
  for (Group& group : groups_) PlanPrefillsOf(group);
}

void Scheduler::PlanPrefillsOf(Group& group) {
  std::vector<Sequence*> prefills;
  std::vector<PrefillDemand> demands;
  for (Sequence* sequence : group.running) {
    if (sequence->decoding() || sequence->drawn_out() || sequence->remaining() == 0) continue;
    prefills.push_back(sequence);
    demands.push_back({.priority = sequence->order.priority, .tokens = sequence->remaining()});
  }
  const std::vector<int32_t> shares = SharePrefillTokens(demands, group.step_tokens_left);
  for (size_t i = 0; i < prefills.size(); ++i) {
    demands[i].tokens -= shares[i];
    if (!group.first_unfinished && demands[i].tokens > 0) group.first_unfinished = demands[i];
    if (shares[i] > 0) ScheduleChunk(*prefills[i], shares[i]);
  }
}

void Scheduler::AdmitWaiting() {
  while (!waiting_.empty()) {
    Sequence& sequence = **waiting_.begin();
    if (sequence.steps_under_way > 0) return;  // preempted just now; a step under way may draw its next token
    std::optional<Placement> placement = Place(sequence);
    if (!placement.has_value()) return;
    Admit(sequence, *placement);
  }
}

// Sequences that are admitted here have their first chunk in the next step.
void Scheduler::AdmitShort() {
  auto next = waiting_.begin();
  for (int32_t looked = 0; looked < kLookAhead && next != waiting_.end(); ++looked) {
    Sequence& sequence = **next++;
    Sequence& head = **waiting_.begin();
    if (head.steps_under_way > 0) return;  // as in AdmitWaiting
    if (sequence.steps_under_way > 0) continue;
    const std::optional<Placement> placement = PlaceShort(sequence, head);
    if (placement.has_value()) Admit(sequence, *placement);
  }
}

void Scheduler::Admit(Sequence& sequence, const Placement& placement) {
  waiting_.erase(&sequence);
  sequence.found.clear();
  Group& group = groups_[placement.dp_rank];
  group.running.insert(&sequence);
  sequence.dp_rank = placement.dp_rank;
  sequence.blocks = BlockTable(&group.pool, sequence.request.cache_salt);
  sequence.blocks.Adopt(placement.cached);
  DR_CHECK(sequence.blocks.Reserve(sequence.size()));
  MarkChanged(sequence);
  sequence.num_planned = static_cast<int32_t>(placement.cached.size()) * kPageTokens;
  if (sequence.admissions++ == 0) {
    sequence.cached_tokens = sequence.num_planned;
    totals_.prefix_cache_queries += sequence.prompt_size;
    totals_.prefix_cache_hits += sequence.cached_tokens;
  }
  ScheduleChunk(sequence, group.step_tokens_left);
}

// Schedules the next chunk of a prefill: at most `most_tokens`, perhaps none.
void Scheduler::ScheduleChunk(Sequence& sequence, int32_t most_tokens) {
  Group& group = groups_[sequence.dp_rank];
  if (sequence.drawn_out()) return;
  if (sequence.slot < 0 && OpenedBytes(sequence) > group.opened_bytes_left) return;
  int32_t tokens = std::min(sequence.remaining(), most_tokens);
  if (sequence.prompt_logprobs_due()) {
    const int64_t bytes = model::MostPositionLogprobsBytes(sequence.request.prompt_logprobs);
    tokens = static_cast<int32_t>(std::min<int64_t>(tokens, group.logprob_bytes_left / bytes));
    group.logprob_bytes_left -= tokens * bytes;
  }
  if (tokens > 0) Schedule(sequence, tokens, /*drafts=*/0);
}

void Scheduler::Schedule(Sequence& sequence, int32_t rows, int32_t drafts) {
  Group& group = groups_[sequence.dp_rank];
  const int32_t tokens = rows - drafts;
  DR_CHECK(tokens > 0 && rows <= group.step_tokens_left);
  group.step_tokens_left -= rows;
  if (sequence.slot < 0) Open(sequence);
  const bool draws = tokens == sequence.remaining() && sequence.planned_size() < sequence.end.max_size;
  sequence.drafts = draws ? NextDraftsOf(sequence, rows, drafts) : 0;
  if (sequence.blocks.first_changed() < std::ssize(sequence.blocks.blocks())) MarkChanged(sequence);
  plan_.groups[sequence.dp_rank].rows.push_back(
      {.slot = sequence.slot, .rows = rows, .drafts = drafts, .next_drafts = sequence.drafts});
  planned_.groups[sequence.dp_rank].push_back(
      {.sequence = &sequence,
       .dp_rank = sequence.dp_rank,
       .first = sequence.num_planned,
       .rows = rows,
       .drafts = drafts,
       .draws = draws,
       .decodes = sequence.decoding(),
       .scores = sequence.prompt_logprobs_due() && sequence.num_planned < sequence.prompt_size - 1});
  sequence.num_planned += tokens;
  sequence.steps_under_way += 1;
  sequence.draws_under_way += draws ? 1 : 0;
}

// Has the plan bring the sequence to its ranks.
void Scheduler::Open(Sequence& sequence) {
  Group& group = groups_[sequence.dp_rank];
  group.opened_bytes_left -= OpenedBytes(sequence);
  TakeSlot(sequence);
  plan_.groups[sequence.dp_rank].opened.push_back(
      {.slot = sequence.slot,
       .sequence = sequence.id,
       .prompt_size = sequence.prompt_size,
       .tokens = sequence.tokens,
       .num_computed = sequence.num_planned,
       .sampling = sequence.request.sampling,
       .end = sequence.end,
       .prompt_logprobs = sequence.prompt_logprobs_due() ? sequence.request.prompt_logprobs : -1,
       .constraint = sequence.request.constraint});
}

void Scheduler::MarkChanged(Sequence& sequence) {
  if (std::exchange(sequence.changed, true)) return;
  groups_[sequence.dp_rank].changed.push_back(&sequence);
}

// Gives the sequence's next position a slot. Returns false when the sequence itself was preempted.
bool Scheduler::ReserveOrPreempt(Sequence& sequence) {
  Group& group = groups_[sequence.dp_rank];
  while (!sequence.blocks.Reserve(sequence.planned_size())) {
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
  LeaveGroup(sequence);
  waiting_.insert(&sequence);
}

// Takes a sequence's pages and its slot.
void Scheduler::LeaveGroup(Sequence& sequence) {
  Group& group = groups_[sequence.dp_rank];
  group.running.erase(&sequence);
  if (std::exchange(sequence.changed, false)) std::erase(group.changed, &sequence);
  if (sequence.slot >= 0) {
    group.closing.push_back(sequence.slot);
    group.free_slots.push_back(sequence.slot);
  }
  sequence.blocks.Clear();
  sequence.slot = -1;
  sequence.num_planned = 0;
  sequence.drafts = 0;
  sequence.dp_rank = -1;
}

// A slot that this plan closes is free for a sequence that this plan opens.
void Scheduler::TakeSlot(Sequence& sequence) {
  Group& group = groups_[sequence.dp_rank];
  if (group.free_slots.empty()) {
    sequence.slot = group.next_slot++;
    return;
  }
  sequence.slot = group.free_slots.back();
  group.free_slots.pop_back();
}

// The dp group that can run a waiting sequence in this step, and the cached pages from which the sequence
// starts there. nullopt if no group has room now.
std::optional<Scheduler::Placement> Scheduler::Place(Sequence& sequence) {
  int32_t best = -1;
  int64_t best_score = -1;
  for (int32_t dp_rank = 0; dp_rank < limits_.dp; ++dp_rank) {
    if (groups_[dp_rank].step_tokens_left == 0) continue;
    const std::optional<int64_t> score = Fits(sequence, dp_rank);
    if (!score.has_value() || *score <= best_score) continue;
    best_score = *score;
    best = dp_rank;
  }
  if (best < 0) return std::nullopt;
  return Placement{best, sequence.found[best].pages};
}

// The dp group where the sequence is short beside the first prefill, with the least left to compute.
std::optional<Scheduler::Placement> Scheduler::PlaceShort(Sequence& sequence, Sequence& head) {
  int32_t best = -1;
  int32_t fewest_tokens = 0;
  for (int32_t dp_rank = 0; dp_rank < limits_.dp; ++dp_rank) {
    const Group& group = groups_[dp_rank];
    if (group.step_tokens_left > 0 || !group.first_unfinished || !Fits(sequence, dp_rank)) continue;
    const auto cached = static_cast<int32_t>(sequence.found[dp_rank].pages.size());
    const int32_t tokens = sequence.size() - cached * kPageTokens;
    if (!IsShortBeside(*group.first_unfinished, {sequence.order.priority, tokens})) continue;
    if (best >= 0 && tokens >= fewest_tokens) continue;
    if (&sequence != &head && !HeadFitsBeside(head, dp_rank, BlocksFor(sequence.size()))) continue;
    best = dp_rank;
    fewest_tokens = tokens;
  }
  if (best < 0) return std::nullopt;
  return Placement{best, sequence.found[best].pages};
}

// True if the head of the queue finds its pages when another sequence has taken `pages_taken` pages of the
// group.
bool Scheduler::HeadFitsBeside(Sequence& head, int32_t dp_rank, int32_t pages_taken) {
  for (int32_t other = 0; other < limits_.dp; ++other) {
    if (other != dp_rank ? Fits(head, other) : Fits(head, dp_rank, 1, pages_taken)) return true;
  }
  return false;
}

// A score if the group has pages and a place for a waiting sequence, also when others take `slots_taken` and
// `pages_taken` first: the more room and the more cached prefix, the higher. Brings `sequence.found` up to
// date.
std::optional<int64_t> Scheduler::Fits(Sequence& sequence, int32_t dp_rank, int32_t slots_taken,
                                       int32_t pages_taken) {
  const Group& group = groups_[dp_rank];
  if (OpenedBytes(sequence) > group.opened_bytes_left) return std::nullopt;
  if (std::ssize(group.running) + slots_taken >= std::min(limits_.max_step_tokens, limits_.max_sequences)) {
    return std::nullopt;
  }
  if (!group.running.empty() &&
      DecodeResultBytes(group) + ResultBytes(sequence) > limits_.max_message_bytes / 2) {
    return std::nullopt;
  }
  // The last token is always computed, for its logits. If log-probabilities of the prompt are still due,
  // every position from the first due one on is computed.
  int32_t reusable = std::min(sequence.size() - 1, SharedEnd(sequence));
  if (sequence.prompt_logprobs_due()) reusable = std::min(reusable, sequence.next_prompt_logprob - 1);
  const auto prefix = absl::MakeConstSpan(sequence.tokens).first(reusable);
  // A waiting sequence without steps under way keeps its tokens and so its prefix; Admit and MakeGroups empty
  // `found`.
  sequence.found.resize(limits_.dp);
  group.pool.Update(sequence.request.cache_salt, prefix, sequence.found[dp_rank]);
  const std::vector<BlockPool::Page>& cached = sequence.found[dp_rank].pages;
  const int64_t available = group.pool.available() - pages_taken;
  const int64_t fresh = BlocksFor(sequence.size()) - static_cast<int64_t>(cached.size());
  if (fresh > available) return std::nullopt;
  // Cached pages without a holder count as available. Adopting them takes them away.
  const auto unheld = std::count_if(cached.begin(), cached.end(), [&](const BlockPool::Page& page) {
    return group.pool.references(page.block) == 0;
  });
  if (fresh > available - unheld) return std::nullopt;
  return static_cast<int64_t>(cached.size()) + available - unheld;
}

int32_t Scheduler::SharedEnd(const Sequence& sequence) const {
  return limits_.prefill_attention == model::PrefillAttention::kExpanded ? sequence.prompt_size
                                                                         : sequence.size();
}

}  // namespace deeprack::coordinator
