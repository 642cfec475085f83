// What must be true of a scheduler between two calls, whatever it was asked to do.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "base/ids.h"
#include "coordinator/scheduler/scheduler.h"

namespace deeprack::coordinator::sim {

// Internal, naming group, page or sequence:
// - a page has another number of holders than block tables with it, so it is lost or shared wrongly;
// - a sequence without a last event is not in exactly one place, the queue or a group;
// - a sequence with a last event is in such a place, or no step under way has rows of it;
// - two sequences of a group have one slot, or a slot is free and taken.
absl::Status Audit(Scheduler& scheduler);

// Watches from plan to plan that sequences are admitted in the order of service, and that the head of the
// queue waits for a bounded number of steps.
class FairnessAudit {
 public:
  // Before and after each call of Plan. Internal: a sequence was admitted before one that is served earlier,
  // and is not short beside a prompt under way;
  // or the head of the queue has waited for more steps than all sequences that run have rows.
  void BeforePlan(Scheduler& scheduler);
  absl::Status AfterPlan(Scheduler& scheduler, bool planned);

  // The ranks are new: every sequence waits again.
  void Reset() { head_ = 0; }

 private:
  std::vector<const Sequence*> waiting_;  // before the plan
  SequenceId head_ = 0;
  int64_t steps_left_ = 0;  // for the head
};

}  // namespace deeprack::coordinator::sim
