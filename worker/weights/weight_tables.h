// Tables of packed weights, one for each operation over heads or experts, where the device's kernels read
// them.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "worker/device/arena.h"
#include "worker/device/device.h"
#include "worker/weights/stage_weights.h"

namespace deeprack::worker {

// Copies the weights' tables to the device, where kernels do not read the host's, into `bytes` of its memory
// (sizing::RankFootprint::weight_tables) and points the weights at them. The memory outlives the weights.
absl::StatusOr<Arena> PlaceWeightTables(Device& device, int64_t bytes, StageWeights& weights);

}  // namespace deeprack::worker
