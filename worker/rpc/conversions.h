// Messages of cluster.proto <-> values of model/step and engine options. Their mirror images are in
// coordinator/dispatch.
#pragma once

#include "absl/status/statusor.h"
#include "model/step/step_plan.h"
#include "model/step/step_result.h"
#include "proto/cluster.pb.h"
#include "worker/engine/engine.h"

namespace deeprack::worker {

// InvalidArgument for a compute type, expert exchange, layout or limit that this worker does not know.
absl::StatusOr<EngineOptions> EngineOptionsFromProto(const cluster::LoadRequest& request);

// Takes whatever was sent: the engine checks plans.
model::StepPlan StepPlanFromProto(const cluster::StepPlan& message);

void StepResultToProto(const model::StepResult& result, cluster::StepResult* message);

}  // namespace deeprack::worker
