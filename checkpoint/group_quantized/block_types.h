// The block formats of a checkpoint's tensors, whatever says so: a GGUF's own types, or the config and the
// order of columns in the files.
#pragma once

#include "absl/status/statusor.h"
#include "checkpoint/checkpoint_reader.h"
#include "model/config/model_config.h"
#include "model/tensors/tensor_types.h"

namespace deeprack::checkpoint {

// `reader`'s checkpoint must have passed CheckCheckpoint. Reads contents only where the config says that
// columns may be out of order: such tensors have no block type. Errors: GroupQuantizedWeight::Open's.
absl::StatusOr<model::TensorTypes> BlockTypesOf(const model::ModelConfig& config,
                                                const CheckpointReader& reader);

}  // namespace deeprack::checkpoint
