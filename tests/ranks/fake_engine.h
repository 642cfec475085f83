// An engine without a model. Its step is one real all-reduce, and its tokens name the ranks that took part.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/engine/engine.h"
#include "worker/rpc/engine_thread.h"

namespace deeprack::worker {

// Functions that a rank calls in a load or a step. An error from one of them ends the load or step with that
// error.
struct FakeBehaviour {
  std::function<absl::Status(const EngineOptions&)> on_load = [](const EngineOptions&) {
    return absl::OkStatus();
  };
  std::function<absl::Status(const model::StepPlan&)> on_step = [](const model::StepPlan&) {
    return absl::OkStatus();
  };
  // Called at the start of a step. A refusal ends the step before the rank meets the others.
  std::function<std::optional<model::Refusal>(const model::StepPlan&)> refuse = [](const model::StepPlan&) {
    return std::nullopt;
  };
  // Called after the ranks have met in the load. A real rank reads its weights at this point.
  std::function<absl::Status()> on_read = [] { return absl::OkStatus(); };
};

// Rank r holds 100 - r KV blocks and loads 1000 + r bytes. In each step all ranks add 2^rank, and rank 0
// answers for every sequence that samples with the token 1000 * its num_computed + that sum.
CreateEngine MakeFakeEngines(FakeBehaviour behaviour);

}  // namespace deeprack::worker
