// Runs steps on the workers of one epoch: the scheduler's StepExecutor.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/dispatch/worker_pool.h"
#include "coordinator/scheduler/step_executor.h"

namespace deeprack::coordinator {

class RankStepExecutor final : public StepExecutor {
 public:
  // Called after each step with the timings of all ranks, by rank.
  using OnStep = std::function<void(const model::StepPlan&, const std::vector<model::StepTimings>&)>;

  // `pool` outlives this. vocab_size is the model's; token ids of results are checked against it.
  RankStepExecutor(WorkerPool* pool, int32_t vocab_size, OnStep on_step = nullptr)
      : pool_(pool), vocab_size_(vocab_size), on_step_(std::move(on_step)) {}

  // One caller at a time. A lost rank (WorkerPool::Lose) ends a call under way within a second. After an
  // error every later call returns that error: the epoch is over. Errors: the ranks' own (see
  // WorkerCalls::Wait) and those of JoinStepResults.
  absl::StatusOr<model::StepResult> Execute(const model::StepPlan& plan) override;

 private:
  absl::StatusOr<model::StepResult> Run(const model::StepPlan& plan);

  WorkerPool* const pool_;
  const int32_t vocab_size_;
  const OnStep on_step_;
  absl::Status failed_;
};

}  // namespace deeprack::coordinator
