// What a rank finds out by itself before it meets the others: that it can read the model, and what it will
// need.
#pragma once

#include <optional>

#include "absl/status/status.h"
#include "checkpoint/checkpoint_reader.h"
#include "model/config/model_config.h"
#include "model/step/step_limits.h"
#include "sizing/kv_pages.h"
#include "sizing/rank_footprint.h"
#include "worker/decoder/attention_planner.h"
#include "worker/decoder/travelling_rows.h"
#include "worker/device/device.h"
#include "worker/engine/engine.h"
#include "worker/engine/rank_agreement.h"
#include "worker/weights/digest.h"

namespace deeprack::worker {

struct Preparation {
  model::ModelConfig config;
  Digest files;                                        // DigestOfCheckpoint
  std::optional<checkpoint::CheckpointReader> reader;  // open and checked against the config
  model::StepLimits limits;
  sizing::RankFootprint bytes;
  sizing::RankMemory memory;
  TravellingRows travelling_rows;  // to the experts of other ranks, of the first layer that has some
  RowsToExperts rows_to_experts;
  AttentionPlanner planner;
};

// Reads and checks config, options, layout and the checkpoint's headers; computes the budget. Takes no
// memory. Errors: NotFound, InvalidArgument, DataLoss, FailedPrecondition (the device's kernels lack what the
// model needs).
absl::Status Prepare(const EngineOptions& options, const Device& device, Preparation& preparation);

// What the footprint is of. Refers to the preparation's config.
sizing::RankSpec RankSpecOf(const EngineOptions& options, const Preparation& preparation);

}  // namespace deeprack::worker
