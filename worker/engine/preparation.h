// What a rank finds out by itself before it meets the others: that it can read the model, and what it will
// need.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "checkpoint/checkpoint_reader.h"
#include "model/budget/budget.h"
#include "model/config/model_config.h"
#include "worker/decoder/attention_planner.h"
#include "worker/decoder/seams.h"
#include "worker/decoder/travelling_rows.h"
#include "worker/decoder/workspace.h"
#include "worker/device/device.h"
#include "worker/engine/engine.h"
#include "worker/kv_cache/kv_cache.h"
#include "worker/weights/digest.h"

namespace deeprack::worker {

struct Preparation {
  model::ModelConfig config;
  Digest files;                                        // DigestOfCheckpoint
  std::optional<checkpoint::CheckpointReader> reader;  // open and checked against the config
  model::StepLimits limits;
  RankMemory memory;
  int64_t workspace_bytes = 0;     // of the decoder
  bool rounded_rows = false;       // of the workspace: model::WorkspaceSpec's
  TravellingRows travelling_rows;  // to the experts of other ranks
  int64_t step_bytes = 0;          // StepMemory
  int64_t table_bytes = 0;         // WeightTableBytes
  PeerNeeds peers;
  AttentionPlanner planner;
  kernels::ScratchBytes scratch;
};

// Of the kernels' scratch, as one allocation: data, then counters.
int64_t ScratchDataBytes(const Preparation& preparation);
int64_t ScratchArenaBytes(const Preparation& preparation);

// Reads and checks config, options, layout and the checkpoint's headers; computes the budget. Takes no
// memory. Errors: NotFound, InvalidArgument, DataLoss, FailedPrecondition (the device's kernels lack what the
// model needs).
absl::Status Prepare(const EngineOptions& options, const Device& device, Preparation& preparation);

// What the decoder's workspace is sized by. Refers to the preparation's config.
model::WorkspaceSpec WorkspaceSpecOf(const EngineOptions& options, const Preparation& preparation);

}  // namespace deeprack::worker
