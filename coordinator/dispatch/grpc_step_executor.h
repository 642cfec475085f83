// Runs steps on the workers of one epoch: the scheduler's StepExecutor over gRPC.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/dispatch/worker_pool.h"
#include "coordinator/scheduler/step_executor.h"
#include "model/step/step_plan.h"
#include "model/step/step_result.h"

namespace deeprack::coordinator {

class GrpcStepExecutor final : public StepExecutor {
 public:
  explicit GrpcStepExecutor(WorkerPool* pool) : pool_(pool) {}  // which outlives this

  // One caller at a time. A lost rank (WorkerPool::Lose) ends a call under way within a second. After an
  // error every later call answers with it: the epoch is over.
  absl::StatusOr<model::StepResult> Execute(const model::StepPlan& plan) override;

 private:
  absl::StatusOr<model::StepResult> Run(const model::StepPlan& plan);

  WorkerPool* const pool_;
  absl::Status failed_;
};

// The ranks' answers to `plan` as one: each sequence's result from the rank that has it, in the plan's order;
// timings of the slowest. Internal when an answer is for another step, or a sequence has no result, or two.
absl::StatusOr<model::StepResult> JoinStepResults(const model::StepPlan& plan,
                                                  std::vector<model::StepResult> by_rank);

}  // namespace deeprack::coordinator
