// Gives each packed tensor its place in the decoder's view of the weights.
#pragma once

#include <cstddef>

#include "model/config/model_config.h"
#include "sizing/packed_tensors.h"
#include "worker/weights/stage_weights.h"

namespace deeprack::worker {

// Adds one tensor, stored at `memory`, to `weights`; `first_layer` is the stage's. Tensors come in the order
// of PackedTensorsOf.
void PlaceTensor(const model::ModelConfig& config, const sizing::PackedTensor& tensor,
                 const std::byte* memory, int64_t first_layer, StageWeights& weights);

}  // namespace deeprack::worker
