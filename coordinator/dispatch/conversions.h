// Values of model/step <-> messages of cluster.proto. Their mirror images are in worker/rpc.
#pragma once

#include "model/step/step_plan.h"
#include "model/step/step_result.h"
#include "proto/cluster.pb.h"

namespace deeprack::coordinator {

void StepPlanToProto(const model::StepPlan& plan, cluster::StepPlan* message);
model::StepResult StepResultFromProto(const cluster::StepResult& message);

}  // namespace deeprack::coordinator
