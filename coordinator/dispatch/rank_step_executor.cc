#include "coordinator/dispatch/rank_step_executor.h"

#include <utility>
#include <vector>

#include "base/status_macros.h"
#include "coordinator/dispatch/conversions.h"
#include "coordinator/dispatch/join_step_results.h"
#include "coordinator/dispatch/worker_calls.h"

namespace deeprack::coordinator {

absl::StatusOr<model::StepResult> RankStepExecutor::Execute(const model::StepPlan& plan) {
  DR_RETURN_IF_ERROR(failed_);
  absl::StatusOr<model::StepResult> result = Run(plan);
  if (!result.ok()) {
    failed_ = result.status();
  } else if (on_step_) {
    on_step_(plan, result->rank_timings);
  }
  return result;
}

absl::StatusOr<model::StepResult> RankStepExecutor::Run(const model::StepPlan& plan) {
  DR_RETURN_IF_ERROR(pool_->health());
  cluster::StepPlan message;
  StepPlanToProto(plan, &message);
  std::vector<cluster::StepResult> answers(pool_->size());
  {
    WorkerCalls calls(pool_);
    for (Rank rank = 0; rank < pool_->size(); ++rank) {
      calls.Start(rank, [&](WorkerClient::Done done) {
        return pool_->client(rank).ExecuteStep(message, &answers[rank], std::move(done));
      });
    }
    DR_RETURN_IF_ERROR(calls.Wait());
  }
  std::vector<model::StepResult> by_rank;
  by_rank.reserve(answers.size());
  for (const cluster::StepResult& answer : answers) by_rank.push_back(StepResultFromProto(answer));
  return JoinStepResults(plan, std::move(by_rank), vocab_size_);
}

}  // namespace deeprack::coordinator
