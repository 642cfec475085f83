// The scheduler's port to whatever runs steps: dispatch over gRPC, or a simulation.
#pragma once

#include "absl/status/statusor.h"
#include "model/step/step_plan.h"
#include "model/step/step_result.h"

namespace deeprack::coordinator {

class StepExecutor {
 public:
  virtual ~StepExecutor() = default;
  // Runs the plan on every rank and joins their answers: results for all of plan.sequences, in its order.
  // Blocks. An error means that the epoch is over; its message names the rank.
  virtual absl::StatusOr<model::StepResult> Execute(const model::StepPlan& plan) = 0;
};

}  // namespace deeprack::coordinator
