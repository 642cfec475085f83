// Which tensors a config says are stored as integers in groups (model/config/group_quantization.h).
#pragma once

#include "model/config/model_config.h"
#include "model/tensors/tensor_registry.h"
#include "model/tensors/tensor_types.h"

namespace deeprack::model {

bool IsStoredInGroups(const ModelConfig& config, const TensorSpec& tensor);

// The block types of the decoder's layers by the config alone: where columns may be out of order, nothing is
// known before the files are read, and these tensors are left out.
TensorTypes GroupTypes(const ModelConfig& config);

}  // namespace deeprack::model
