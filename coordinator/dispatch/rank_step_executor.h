// Runs steps on the workers of one epoch: the step loop's StepExecutor.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/dispatch/worker_calls.h"
#include "coordinator/dispatch/worker_pool.h"
#include "coordinator/scheduler/step_executor.h"
#include "model/layout/layout.h"

namespace deeprack::coordinator {

class RankStepExecutor final : public StepExecutor {
 public:
  // Called after each step with the timings of all ranks, by rank.
  using OnStep = std::function<void(const model::StepHeader&, const std::vector<model::StepTimings>&)>;

  // `pool` outlives this; its ranks form `layout`. vocab_size is the model's; token ids of results are
  // checked against it.
  RankStepExecutor(WorkerPool* pool, const model::Layout& layout, int32_t vocab_size,
                   OnStep on_step = nullptr);
  // Ends the streams. Steps under way are given up.
  ~RankStepExecutor() override;

  // One caller at a time for both. A lost rank (WorkerPool::Lose) ends Receive within a second. After an
  // error every later call returns that error: the epoch is over. Errors: the ranks' own (see
  // WorkerCalls::Wait) and those of JoinStepResults.
  absl::Status Send(const model::StepPlan& plan) override;
  absl::StatusOr<model::StepResult> Receive() override;

 private:
  // One epoch's streams, one to each rank. They are opened with the first step, after the ranks have loaded.
  void OpenStreams();
  void TakeResult(Rank rank, cluster::StepResult result);
  absl::StatusOr<std::vector<model::RankResult>> AwaitAnswers();
  bool AnyStreamEnded();
  absl::Status WhyEnded();  // blocks until all streams have ended

  WorkerPool* const pool_;
  const model::Layout layout_;
  const int32_t vocab_size_;
  const OnStep on_step_;
  absl::Status failed_;
  std::deque<model::StepHeader> under_way_;
  std::vector<WorkerClient::StepStream*> streams_;  // by rank; owned by calls_

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::deque<cluster::StepResult>> answers_;  // by rank, in the order of steps
  bool ended_ = false;                                    // some rank's stream has ended

  std::unique_ptr<WorkerCalls>
      calls_;  // null: no step has been sent. The last member: its calls use the others
};

}  // namespace deeprack::coordinator
