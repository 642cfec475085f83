// Checks a step plan before the engine changes anything or exchanges data with another rank. Every rank
// checks the whole plan against numbers that all ranks agree on, so all ranks get the same result.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "model/layout/layout.h"
#include "model/step/step_limits.h"
#include "model/step/step_plan.h"
#include "model/step/step_result.h"

namespace deeprack::worker {

class PlanChecker {
 public:
  // `limits` and `blocks` (pages of the KV cache) are of each dp group.
  PlanChecker(int64_t vocab_size, const model::Layout& layout, Epoch epoch, const model::StepLimits& limits,
              int64_t blocks);

  // FailedPrecondition: the plan is of another epoch.
  absl::Status CheckEpoch(const model::StepPlan& plan) const;

  // nullopt: the plan may be executed. Otherwise the first fault: its sequence, with the value found and the
  // values allowed. A page that this step writes must be in one sequence's block table only.
  std::optional<model::Refusal> Check(const model::StepPlan& plan);

 private:
  std::optional<model::Refusal> FaultOfSequence(const model::SequencePlan& sequence) const;
  std::optional<model::Refusal> FaultOfPages(const model::StepPlan& plan);

  const int64_t vocab_size_;
  const int32_t dp_;
  const Epoch epoch_;
  const model::StepLimits limits_;
  const int64_t blocks_;
  // [dp, blocks]: the index in the plan of the sequence that writes a page; -1: none.
  std::vector<int32_t> writer_;
};

}  // namespace deeprack::worker
