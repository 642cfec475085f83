// Tables of packed weights, one for each operation over heads or experts, where the device's kernels read
// them.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "model/config/model_config.h"
#include "model/layout/layout.h"
#include "worker/device/arena.h"
#include "worker/device/device.h"
#include "worker/weights/stage_weights.h"

namespace deeprack::worker {

// The bytes of the device's memory that PlaceWeightTables takes; 0 where kernels read the host's tables.
int64_t WeightTableBytes(const Device& device, const model::ModelConfig& config, const model::Layout& layout,
                         Rank rank);

// Copies the weights' tables to the device and points the weights at them. The memory outlives the weights.
absl::StatusOr<Arena> PlaceWeightTables(Device& device, int64_t bytes, StageWeights& weights);

}  // namespace deeprack::worker
