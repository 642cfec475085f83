// The block formats of a checkpoint's tensors: from a GGUF's own types, or from the config and the order of
// columns in the files.
#pragma once

#include "absl/status/statusor.h"
#include "checkpoint/checkpoint_reader.h"
#include "model/config/model_config.h"
#include "model/tensors/tensor_types.h"

namespace deeprack::checkpoint {

// The checkpoint of `reader` must have passed CheckCheckpoint. Tensors whose columns are out of order have no
// block type; tensor contents are read only if the config allows that order. Errors: those of
// GroupQuantizedWeight::Open.
absl::StatusOr<model::TensorTypes> BlockTypesOf(const model::ModelConfig& config,
                                                const CheckpointReader& reader);

}  // namespace deeprack::checkpoint
