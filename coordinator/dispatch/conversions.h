// Converts values of model/step to and from messages of cluster.proto. The opposite conversions are in
// worker/rpc.
#pragma once

#include "model/step/step_plan.h"
#include "model/step/step_result.h"
#include "proto/cluster.pb.h"

namespace deeprack::coordinator {

void StepPlanToProto(const model::StepPlan& plan, cluster::StepPlan* message);
// Checks nothing: JoinStepResults and Scheduler::Apply do.
model::StepResult StepResultFromProto(const cluster::StepResult& message);

}  // namespace deeprack::coordinator
