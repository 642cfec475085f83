// Tables of packed weights in device memory: one for each operation over heads or experts.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "worker/device/arena.h"
#include "worker/device/device.h"
#include "worker/weights/stage_weights.h"

namespace deeprack::worker {

// Copies the weights' tables into `bytes` of device memory (sizing::RankFootprint::weight_tables) and points
// `weights` at them. Does nothing where kernels read host memory. The result must outlive the weights.
absl::StatusOr<Arena> PlaceWeightTables(Device& device, int64_t bytes, StageWeights& weights);

}  // namespace deeprack::worker
