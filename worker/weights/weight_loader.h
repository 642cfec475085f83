// Loads one rank's weights: its slices of the checkpoint, packed for the kernels.
#pragma once

#include <cstdint>
#include <functional>

#include "absl/status/statusor.h"
#include "checkpoint/checkpoint_reader.h"
#include "sizing/rank_spec.h"
#include "sizing/weight_manifest.h"
#include "worker/device/arena.h"
#include "worker/device/device.h"
#include "worker/weights/stage_weights.h"

namespace deeprack::worker {

// One rank's weights as a checkpoint has them. `manifest` is the rank's by that checkpoint, which must have
// passed checkpoint::CheckCheckpoint. All three outlive the load.
struct RankWeights {
  const sizing::RankSpec& spec;
  const sizing::WeightManifest& manifest;
  const checkpoint::CheckpointReader& reader;
};

struct LoadedWeights {
  // manifest.bytes of the device's memory, all in use. Read-only where it is a mapped file
  // (packed_weights.h).
  Arena arena;
  StageWeights weights;
};

// Bytes of the checkpoint packed so far, and in all, of this rank's slices. Called on the loading thread.
using LoadProgress = std::function<void(int64_t bytes_done, int64_t bytes_total)>;

// The device's threads pack. Where the host cannot write the device's memory in place, they pack into staging
// memory, and copies of one part run while the next part is packed. Errors: DataLoss (NaN or infinity, with
// the tensor's name), ResourceExhausted.
absl::StatusOr<LoadedWeights> LoadWeights(const RankWeights& source, Device& device,
                                          const LoadProgress& progress);

}  // namespace deeprack::worker
