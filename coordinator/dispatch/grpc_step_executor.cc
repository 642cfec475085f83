#include "coordinator/dispatch/grpc_step_executor.h"

#include <algorithm>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "coordinator/dispatch/conversions.h"
#include "coordinator/dispatch/worker_calls.h"

namespace deeprack::coordinator {

absl::StatusOr<model::StepResult> GrpcStepExecutor::Execute(const model::StepPlan& plan) {
  DR_RETURN_IF_ERROR(failed_);
  absl::StatusOr<model::StepResult> result = Run(plan);
  if (!result.ok()) failed_ = result.status();
  return result;
}

absl::StatusOr<model::StepResult> GrpcStepExecutor::Run(const model::StepPlan& plan) {
  auto* workers = static_cast<ConnectedWorkerPool*>(pool_);  // the only implementation
  DR_RETURN_IF_ERROR(workers->health());
  cluster::StepPlan request;
  StepPlanToProto(plan, &request);
  std::vector<cluster::StepResult> responses(workers->size());
  {
    WorkerCalls calls(workers);
    for (Rank rank = 0; rank < workers->size(); ++rank) {
      workers->stub(rank)->async()->ExecuteStep(
          calls.context(rank), &request, &responses[rank],
          [&calls, rank](const grpc::Status& status) { calls.Ended(rank, status); });
    }
    DR_RETURN_IF_ERROR(calls.Wait());
  }
  std::vector<model::StepResult> by_rank;
  by_rank.reserve(responses.size());
  for (const cluster::StepResult& response : responses) by_rank.push_back(StepResultFromProto(response));
  return JoinStepResults(plan, std::move(by_rank));
}

absl::StatusOr<model::StepResult> JoinStepResults(const model::StepPlan& plan,
                                                  std::vector<model::StepResult> by_rank) {
  model::StepResult joined{.epoch = plan.epoch, .step = plan.step};
  std::unordered_map<SequenceId, model::SequenceResult*> found;
  for (size_t rank = 0; rank < by_rank.size(); ++rank) {
    model::StepResult& result = by_rank[rank];
    if (result.epoch != plan.epoch || result.step != plan.step) {
      return absl::InternalError(absl::StrCat("rank ", rank, " answered step ", result.step, " of epoch ",
                                              result.epoch, " when asked for step ", plan.step, " of epoch ",
                                              plan.epoch));
    }
    joined.rank_timings.push_back(result.timings);
    for (model::SequenceResult& sequence : result.sequences) {
      if (!found.emplace(sequence.sequence, &sequence).second) {
        return absl::InternalError(absl::StrCat("rank ", rank, " answered for sequence ", sequence.sequence,
                                                ", for which another answer is there"));
      }
    }
  }
  joined.sequences.reserve(plan.sequences.size());
  for (const model::SequencePlan& sequence : plan.sequences) {
    const auto result = found.find(sequence.sequence);
    if (result == found.end()) {
      return absl::InternalError(
          absl::StrCat("no rank answered for sequence ", sequence.sequence, " of step ", plan.step));
    }
    joined.sequences.push_back(std::move(*result->second));
    found.erase(result);
  }
  if (!found.empty()) {
    return absl::InternalError(absl::StrCat("an answer came for sequence ", found.begin()->first,
                                            ", which is not in step ", plan.step));
  }
  return joined;
}

}  // namespace deeprack::coordinator
