// What tests reach inside a scheduler.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <vector>

#include "base/check.h"
#include "coordinator/scheduler/scheduler.h"

namespace deeprack::coordinator {

class SchedulerPeer {
 public:
  // Takes free pages of dp group 0, as a fault would. The pages never come back.
  static void TakePages(Scheduler& scheduler, int pages) {
    for (int i = 0; i < pages; ++i) DR_CHECK(scheduler.groups_[0].pool.Allocate().has_value());
  }

  // The next plan looks the head of the queue up as if no plan had done so before.
  static void ForgetFoundPrefixes(Scheduler& scheduler) {
    for (Sequence* sequence : scheduler.waiting_) sequence->found.clear();
  }

  // Pages that were hashed to place the present head of the queue, in all groups and plans.
  static int64_t PagesHashed(const Scheduler& scheduler) {
    int64_t pages = 0;
    if (scheduler.waiting_.empty()) return 0;
    for (const BlockPool::Prefix& prefix : (*scheduler.waiting_.begin())->found) pages += prefix.pages_hashed;
    return pages;
  }

  // The scheduler's state, for checks of its invariants and for faults that a test plants.
  using Group = Scheduler::Group;
  using Sequences = std::map<SequenceId, std::unique_ptr<Sequence>>;
  static std::vector<Group>& groups(Scheduler& scheduler) { return scheduler.groups_; }
  static const Sequences& sequences(const Scheduler& scheduler) { return scheduler.sequences_; }
  static SequenceSet& waiting(Scheduler& scheduler) { return scheduler.waiting_; }
  static const SequenceSet& suspects(const Scheduler& scheduler) { return scheduler.suspects_; }
  static const std::deque<StepUnderWay>& steps(const Scheduler& scheduler) { return scheduler.steps_; }
};

}  // namespace deeprack::coordinator
