// What tests reach inside a scheduler.
#pragma once

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
  static void ForgetFoundPrefixes(Scheduler& scheduler) { scheduler.found_ = {}; }

  // Pages that were hashed to place the present head of the queue, in all groups and plans.
  static int64_t PagesHashed(const Scheduler& scheduler) {
    int64_t pages = 0;
    for (const BlockPool::Prefix& prefix : scheduler.found_.in_group) pages += prefix.pages_hashed;
    return pages;
  }
};

}  // namespace deeprack::coordinator
