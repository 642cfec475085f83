// The thread that serves: takes requests and cancellations, asks the scheduler for a plan, has it executed,
// applies the result, hands out events. The only thread that touches the scheduler.
#pragma once

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "coordinator/request/request.h"
#include "coordinator/scheduler/scheduler_limits.h"
#include "coordinator/scheduler/serving_stats.h"
#include "coordinator/scheduler/step_executor.h"

namespace deeprack::coordinator {

class StepLoop {
 public:
  // Starts the thread. `executor` and `clock` outlive the loop.
  static std::unique_ptr<StepLoop> Start(const SchedulerLimits& limits, Epoch epoch, StepExecutor* executor,
                                         Clock* clock);
  virtual ~StepLoop() = default;  // stops: every live sequence gets its last event (kError, Cancelled)

  // Queues a request. Thread-safe. InvalidArgument (does not fit the context or the cache; says the numbers),
  // ResourceExhausted (queue full), Unavailable (the cluster has failed). After OK the sink gets events until
  // one with finish != kNone.
  virtual absl::StatusOr<SequenceId> Submit(Request request, EventSink sink) = 0;

  // Ends a sequence soon: its last event is kCancelled unless it finished before. Frees its blocks.
  // Thread-safe.
  virtual void Cancel(SequenceId sequence) = 0;

  virtual ServingStats Stats() const = 0;

  // The error that ended serving, or OK.
  virtual absl::Status health() const = 0;

  // Ends serving from outside (a worker was lost): every sequence gets one kError event, Submit answers
  // Unavailable.
  virtual void Fail(absl::Status why) = 0;
};

}  // namespace deeprack::coordinator
