// The work of a rank before it exchanges data with the other ranks: it checks that it can read the model, and
// counts the memory that it will take.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "checkpoint/checkpoint_reader.h"
#include "sizing/rank_footprint.h"
#include "sizing/rank_spec.h"
#include "sizing/weight_manifest.h"
#include "worker/decoder/attention_planner.h"
#include "worker/decoder/dispatch_row_form.h"
#include "worker/device/device.h"
#include "worker/engine/engine.h"
#include "worker/engine/rank_agreement.h"
#include "worker/weights/digest.h"

namespace deeprack::worker {

struct Preparation {
  EngineOptions options;
  sizing::RankSpec spec;
  Digest files;                                        // DigestOfCheckpoint
  std::optional<checkpoint::CheckpointReader> reader;  // open and checked against the config
  sizing::WeightManifest manifest;
  sizing::RankFootprint bytes;
  RankNeeds needs;
  DispatchRowForm dispatch_row_form;  // the form of the first layer with experts
  AttentionPlanner planner;
};

// Reads and checks config, options, layout and the checkpoint's headers; counts memory and takes none.
// Errors: NotFound, InvalidArgument, DataLoss, FailedPrecondition (the device's kernels lack an operation
// that the model needs).
absl::StatusOr<Preparation> Prepare(const EngineOptions& options, const Device& device);

}  // namespace deeprack::worker
