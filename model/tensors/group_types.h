// Finds the tensors that a config says are stored as integers in groups (model/config/group_quantization.h).
#pragma once

#include "model/config/model_config.h"
#include "model/tensors/tensor_registry.h"
#include "model/tensors/tensor_types.h"

namespace deeprack::model {

// True when `tensor` is stored as integers in groups.
bool IsStoredInGroups(const ModelConfig& config, const TensorSpec& tensor);

// The block types of the decoder layers' tensors, from the config alone. Tensors whose columns may be out of
// order (act_order) are left out: only their files tell.
TensorTypes GroupTypes(const ModelConfig& config);

}  // namespace deeprack::model
