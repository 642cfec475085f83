// Converts values of model/step to and from messages of cluster.proto. The opposite conversions are in
// worker/rpc.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "model/step/step_plan.h"
#include "model/step/step_result.h"
#include "proto/cluster.pb.h"

namespace deeprack::coordinator {

// The serialized cluster.StepPlan for the ranks of dp group `group`, which all get the same bytes.
std::shared_ptr<const std::string> EncodeStep(const model::StepPlan& plan, int32_t group);

// Checks nothing but that the message holds together: Internal if a detail or a number of tokens belongs to
// no sequence. JoinStepResults and Scheduler::Apply compare the values with the plan.
absl::StatusOr<model::RankResult> RankResultFromProto(const cluster::StepResult& message);

}  // namespace deeprack::coordinator
