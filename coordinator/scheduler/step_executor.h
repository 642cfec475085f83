// The step loop's port to the ranks: dispatch in service, a simulation in tests.
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/step/step_plan.h"
#include "model/step/step_result.h"

namespace deeprack::coordinator {

class StepExecutor {
 public:
  virtual ~StepExecutor() = default;
  // Sends the plan to every rank and returns. Several steps may be under way; the ranks compute them in the
  // order of the calls.
  virtual absl::Status Send(const model::StepPlan& plan) = 0;
  // Waits for the oldest step under way, and joins the answers of its ranks. After an error of either call
  // the epoch is over; the message names the rank.
  virtual absl::StatusOr<model::StepResult> Receive() = 0;
};

}  // namespace deeprack::coordinator
