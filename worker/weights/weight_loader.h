// Loads one rank's weights: its slices of the checkpoint, repacked for the kernels.
#pragma once

#include <cstdint>
#include <functional>

#include "absl/status/statusor.h"
#include "checkpoint/checkpoint_reader.h"
#include "kernels/api/execution.h"
#include "model/config/model_config.h"
#include "model/layout/layout.h"
#include "worker/device/arena.h"
#include "worker/weights/stage_weights.h"

namespace deeprack::worker {

struct LoadedWeights {
  Arena arena;  // exactly model::WeightBytes of the checkpoint's types, all of it in use
  StageWeights weights;
};

// Bytes of the checkpoint packed so far, and in all, of this rank's slices. Called on the loading thread.
using LoadProgress = std::function<void(int64_t bytes_done, int64_t bytes_total)>;

// `reader`'s checkpoint must have passed checkpoint::CheckCheckpoint. Packs on the pool's threads. Errors:
// DataLoss (NaN or infinity, with the tensor's name), ResourceExhausted.
absl::StatusOr<LoadedWeights> LoadWeights(const model::ModelConfig& config, const model::Layout& layout,
                                          Rank rank, DType compute,
                                          const checkpoint::CheckpointReader& reader,
                                          kernels::ThreadPool* pool, const LoadProgress& progress);

}  // namespace deeprack::worker
