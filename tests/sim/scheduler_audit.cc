#include "tests/sim/scheduler_audit.h"

#include <algorithm>
#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "coordinator/scheduler/prefill_shares.h"
#include "tests/unit/scheduler/scheduler_peer.h"

namespace deeprack::coordinator::sim {
namespace {

template <class... Parts>
absl::Status Broken(const Parts&... parts) {
  return absl::InternalError(absl::StrCat("the scheduler's state: ", parts...));
}

// The head of the queue and what runs.
std::string Describe(Scheduler& scheduler) {
  const Sequence& head = **SchedulerPeer::waiting(scheduler).begin();
  std::string text = absl::StrCat(head.size(), " tokens, ", head.steps_under_way, " steps under way");
  for (const SchedulerPeer::Group& group : SchedulerPeer::groups(scheduler)) {
    absl::StrAppend(&text, "; ", group.pool.available(), " of ", group.pool.size(), " pages beside");
    for (const Sequence* sequence : group.running) {
      absl::StrAppend(&text, " sequence ", sequence->id, " (", sequence->num_planned, " of ",
                      sequence->size(), ", at most ", sequence->end.max_size, ")");
    }
  }
  return text;
}

absl::Status CheckPages(Scheduler& scheduler) {
  const std::vector<SchedulerPeer::Group>& groups = SchedulerPeer::groups(scheduler);
  std::vector<std::vector<int32_t>> holders(groups.size());
  for (size_t g = 0; g < groups.size(); ++g) holders[g].resize(static_cast<size_t>(groups[g].pool.size()));
  for (const auto& [id, sequence] : SchedulerPeer::sequences(scheduler)) {
    if (sequence->dp_rank < 0 && !sequence->blocks.blocks().empty())
      return Broken("sequence ", id, " has pages and no group");
    for (const BlockId block : sequence->blocks.blocks())
      ++holders[static_cast<size_t>(sequence->dp_rank)][static_cast<size_t>(block)];
  }
  for (size_t g = 0; g < groups.size(); ++g) {
    int32_t held = 0;
    for (BlockId block = 0; block < groups[g].pool.size(); ++block) {
      const int32_t tables = holders[g][static_cast<size_t>(block)];
      const int32_t references = groups[g].pool.references(block);
      if (tables != references)
        return Broken("page ", block, " of group ", g, " is in ", tables, " block tables and has ",
                      references, " references");
      held += references > 0 ? 1 : 0;
    }
    if (groups[g].pool.held() != held)
      return Broken("group ", g, " holds ", held, " pages, and its pool says ", groups[g].pool.held());
  }
  return absl::OkStatus();
}

absl::Status CheckPlaces(Scheduler& scheduler) {
  const std::vector<SchedulerPeer::Group>& groups = SchedulerPeer::groups(scheduler);
  std::map<const Sequence*, int32_t> rows;
  for (const StepUnderWay& step : SchedulerPeer::steps(scheduler)) {
    for (const auto& group : step.groups) {
      for (const StepUnderWay::Entry& entry : group) ++rows[entry.sequence];
    }
  }
  int64_t running = 0, live = 0;
  for (const SchedulerPeer::Group& group : groups) running += std::ssize(group.running);
  for (const auto& [id, sequence] : SchedulerPeer::sequences(scheduler)) {
    const bool waits = SchedulerPeer::waiting(scheduler).contains(sequence.get());
    const bool runs = sequence->dp_rank >= 0 &&
                      groups[static_cast<size_t>(sequence->dp_rank)].running.contains(sequence.get());
    const auto found = rows.find(sequence.get());
    const int32_t steps = found == rows.end() ? 0 : found->second;
    if (steps != sequence->steps_under_way)
      return Broken("sequence ", id, " has rows in ", steps, " steps under way and counts ",
                    sequence->steps_under_way);
    if (sequence->ended) {
      if (waits || runs) return Broken("sequence ", id, " has ended and has a place");
      if (steps == 0) return Broken("sequence ", id, " has ended and is kept");
      continue;
    }
    ++live;
    if (waits == runs) return Broken("sequence ", id, waits ? " waits and runs" : " has no place");
  }
  if (live != running + std::ssize(SchedulerPeer::waiting(scheduler)))
    return Broken(live, " sequences have no last event, and ", running, " run");
  return absl::OkStatus();
}

absl::Status CheckSlots(Scheduler& scheduler) {
  const std::vector<SchedulerPeer::Group>& groups = SchedulerPeer::groups(scheduler);
  std::vector<std::vector<SequenceSlot>> slots(groups.size());
  for (size_t g = 0; g < groups.size(); ++g) slots[g] = groups[g].free_slots;
  for (const auto& [id, sequence] : SchedulerPeer::sequences(scheduler)) {
    if (sequence->dp_rank >= 0 && sequence->slot >= 0)
      slots[static_cast<size_t>(sequence->dp_rank)].push_back(sequence->slot);
  }
  for (size_t g = 0; g < groups.size(); ++g) {
    std::ranges::sort(slots[g]);
    if (std::ranges::adjacent_find(slots[g]) != slots[g].end())
      return Broken("a slot of group ", g, " is given out twice");
    if (std::ssize(slots[g]) != groups[g].next_slot) return Broken("a slot of group ", g, " is lost");
  }
  return absl::OkStatus();
}

// A sequence that is short beside a prompt under way may take a place before the head of the queue, when the
// step has no tokens left for the head (prefill_shares.h). It has no rows in that step.
bool MayOvertake(Scheduler& scheduler, const Sequence& sequence) {
  if (sequence.slot >= 0 || sequence.dp_rank < 0) return false;
  const SchedulerPeer::Group& group = SchedulerPeer::groups(scheduler)[static_cast<size_t>(sequence.dp_rank)];
  return std::ranges::any_of(group.running, [&](const Sequence* first) {
    return first != &sequence && first->remaining() > 0 &&
           IsShortBeside({first->order.priority, first->remaining()},
                         {sequence.order.priority, sequence.remaining()});
  });
}

}  // namespace

absl::Status Audit(Scheduler& scheduler) {
  DR_RETURN_IF_ERROR(CheckPages(scheduler));
  DR_RETURN_IF_ERROR(CheckPlaces(scheduler));
  return CheckSlots(scheduler);
}

void FairnessAudit::BeforePlan(Scheduler& scheduler) {
  const SequenceSet& waiting = SchedulerPeer::waiting(scheduler);
  waiting_.assign(waiting.begin(), waiting.end());
}

absl::Status FairnessAudit::AfterPlan(Scheduler& scheduler, bool planned) {
  const SequenceSet& waiting = SchedulerPeer::waiting(scheduler);
  if (!SchedulerPeer::suspects(scheduler).empty()) {  // they run alone
    head_ = 0;
    return absl::OkStatus();
  }
  // Each sequence that this plan admitted must stand before each sequence that still waits.
  const Sequence* passed_over = nullptr;
  bool admitted = false;
  for (const Sequence* sequence : waiting_) {
    if (waiting.contains(const_cast<Sequence*>(sequence))) {
      if (passed_over == nullptr) passed_over = sequence;
      continue;
    }
    if (passed_over != nullptr && MayOvertake(scheduler, *sequence)) continue;
    admitted = true;
    if (passed_over != nullptr) {
      return Broken("sequence ", sequence->id, " was admitted before sequence ", passed_over->id,
                    ", which is served earlier");
    }
  }
  const Sequence* head = waiting.empty() ? nullptr : *waiting.begin();
  if (head == nullptr || head->id != head_ || admitted) {
    head_ = head == nullptr ? 0 : head->id;
    // Nobody else is admitted while the head waits. The head is admitted at the latest when some group has
    // nobody left, and each step computes a row of each group's first sequence, unless its last token is
    // under way.
    int64_t fewest_rows = INT64_MAX;
    for (const SchedulerPeer::Group& group : SchedulerPeer::groups(scheduler)) {
      int64_t rows = 0;
      for (const Sequence* sequence : group.running)
        rows += sequence->end.max_size - sequence->num_planned + 4;
      fewest_rows = std::min(fewest_rows, rows);
    }
    steps_left_ = 2 * fewest_rows + 8;
    return absl::OkStatus();
  }
  if (planned && --steps_left_ < 0)
    return Broken("sequence ", head_, " is the head of the queue and waits for ever: ", Describe(scheduler));
  return absl::OkStatus();
}

}  // namespace deeprack::coordinator::sim
