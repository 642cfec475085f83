// The scheduler's port to the ranks: dispatch in service, a simulation in tests.
#pragma once

#include "absl/status/statusor.h"
#include "model/step/step_plan.h"
#include "model/step/step_result.h"

namespace deeprack::coordinator {

class StepExecutor {
 public:
  virtual ~StepExecutor() = default;
  // Runs the plan on every rank and joins the answers: one result for each of plan.sequences, in the plan's
  // order, or none if the ranks refused the plan (StepResult::refusal). Blocks. After an error the epoch is
  // over; the message names the rank.
  virtual absl::StatusOr<model::StepResult> Execute(const model::StepPlan& plan) = 0;
};

}  // namespace deeprack::coordinator
