// The thread that runs steps. It takes requests and cancellations, has the scheduler plan steps, sends them
// to the executor, applies each result and delivers events. No other thread uses the scheduler.
#pragma once

#include <functional>
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
  // Starts the thread. `clock` outlives the loop; `executor` outlives it or is used until Suspend has
  // returned. A step that fails ends serving. With `on_broken` a failed step suspends the loop instead, and
  // the loop's thread calls on_broken with the reason; on_broken must not block.
  static std::unique_ptr<StepLoop> Start(const SchedulerLimits& limits, Epoch epoch, StepExecutor* executor,
                                         Clock* clock,
                                         std::function<void(const absl::Status&)> on_broken = nullptr);
  virtual ~StepLoop() = default;  // stops: every live sequence gets its last event (kError, Cancelled)

  // Queues a request. Thread-safe. InvalidArgument (does not fit the context or the cache; says the numbers),
  // ResourceExhausted (queue full), Unavailable (the cluster has failed, or is suspended). After OK the sink
  // gets events until one with finish != kNone.
  virtual absl::StatusOr<SequenceId> Submit(Request request, EventSink sink) = 0;

  // Ends a sequence soon, also while the loop is suspended. The sequence's last event is kCancelled, unless
  // it has finished before. Its blocks become free. Thread-safe.
  virtual void Cancel(SequenceId sequence) = 0;

  virtual ServingStats Stats() const = 0;

  // The error that ended serving, or OK.
  virtual absl::Status health() const = 0;

  // The epoch is over: the loop takes no step until Resume, and no longer uses the executor. All sequences
  // stay, except the sequences that Scheduler::Interrupt ends. Blocks until the loop waits for no step, so
  // the caller makes the executor fail first.
  virtual void Suspend(absl::Status why) = 0;

  // Call it after Suspend. Continues every sequence on other ranks. The new ranks form `dp` dp groups, and
  // each rank has `blocks_per_dp_rank` pages. `executor` as in Start.
  virtual void Resume(Epoch epoch, StepExecutor* executor, int32_t blocks_per_dp_rank, int32_t dp) = 0;

  // Ends serving from outside (a worker was lost): every sequence gets one kError event, Submit answers
  // Unavailable.
  virtual void Fail(absl::Status why) = 0;
};

}  // namespace deeprack::coordinator
