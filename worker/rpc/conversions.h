// Converts messages of cluster.proto to and from values of model/step and engine options. The opposite
// conversions are in coordinator/dispatch.
#pragma once

#include "absl/status/statusor.h"
#include "constraint/vocabulary_keeper.h"
#include "model/step/step_plan.h"
#include "model/step/step_result.h"
#include "proto/cluster.pb.h"
#include "worker/engine/engine.h"
#include "worker/rpc/engine_thread.h"
#include "worker/topology/machine_report.h"

namespace deeprack::worker {

// InvalidArgument for a compute type, expert exchange, layout or limit that this worker does not know.
// `vocabularies` makes or keeps the vocabulary of the options.
absl::StatusOr<EngineOptions> EngineOptionsFromProto(const cluster::LoadRequest& request,
                                                     constraint::VocabularyKeeper& vocabularies);

// Checks nothing: the worlds check what they get.
Meeting MeetingFromProto(const cluster::LoadRequest& request);

void MachineReportToProto(const MachineReport& report, cluster::MachineReport* message);

// InvalidArgument: the message's lists do not fit each other. Checks nothing else: the table of sequences
// checks what it is told (worker/sequences/sequence_table.h).
absl::StatusOr<model::RankStep> RankStepFromProto(const cluster::StepPlan& message);

void RankResultToProto(const model::RankResult& result, cluster::StepResult* message);

}  // namespace deeprack::worker
