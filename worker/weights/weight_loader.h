// Loads one rank's weights: its slices of the checkpoint, repacked for the kernels.
#pragma once

#include <cstdint>
#include <functional>

#include "absl/status/statusor.h"
#include "checkpoint/checkpoint_reader.h"
#include "model/config/model_config.h"
#include "model/layout/layout.h"
#include "model/tensors/tensor_types.h"
#include "worker/device/arena.h"
#include "worker/device/device.h"
#include "worker/weights/stage_weights.h"

namespace deeprack::worker {

struct LoadedWeights {
  // Of the device's memory, exactly sizing::WeightBytes for sizing::WeightFormsOf, all of it in use.
  // Read-only where it is a mapped file (packed_weights.h).
  Arena arena;
  StageWeights weights;
};

// Bytes of the checkpoint packed so far, and in all, of this rank's slices. Called on the loading thread.
using LoadProgress = std::function<void(int64_t bytes_done, int64_t bytes_total)>;

// `reader`'s checkpoint must have passed checkpoint::CheckCheckpoint. The device's threads pack; where the
// host cannot write the device's memory in place they pack into staging memory, and copies of one part run
// while the next is packed. Errors: DataLoss (NaN or infinity, with the tensor's name), ResourceExhausted.
absl::StatusOr<LoadedWeights> LoadWeights(const model::ModelConfig& config, const model::Layout& layout,
                                          Rank rank, DType compute,
                                          const checkpoint::CheckpointReader& reader, Device& device,
                                          const LoadProgress& progress);

}  // namespace deeprack::worker
