// Runs steps on the workers of one epoch: the scheduler's StepExecutor.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/dispatch/worker_pool.h"
#include "coordinator/scheduler/step_executor.h"

namespace deeprack::coordinator {

class RankStepExecutor final : public StepExecutor {
 public:
  // `pool` outlives this. vocab_size is the model's; token ids of results are checked against it.
  RankStepExecutor(WorkerPool* pool, int32_t vocab_size) : pool_(pool), vocab_size_(vocab_size) {}

  // One caller at a time. A lost rank (WorkerPool::Lose) ends a call under way within a second. After an
  // error every later call returns that error: the epoch is over. Errors: the ranks' own (see
  // WorkerCalls::Wait) and those of JoinStepResults.
  absl::StatusOr<model::StepResult> Execute(const model::StepPlan& plan) override;

 private:
  absl::StatusOr<model::StepResult> Run(const model::StepPlan& plan);

  WorkerPool* const pool_;
  const int32_t vocab_size_;
  absl::Status failed_;
};

}  // namespace deeprack::coordinator
