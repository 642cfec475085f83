// In which forms a checkpoint's weights are kept on a device.
#pragma once

#include "absl/status/statusor.h"
#include "base/weight_layout.h"
#include "checkpoint/checkpoint_reader.h"
#include "kernels/api/kernel_needs.h"
#include "model/config/model_config.h"
#include "model/tensors/tensor_types.h"

namespace deeprack::sizing {

struct WeightForms {
  // The checkpoint's block formats that weights keep: none where the kernels do not multiply them.
  model::TensorTypes types;
  // The kernels' wish, with the routers if the checkpoint has all of them in bf16.
  RowMajorTypes row_major;
};

// Errors: checkpoint::BlockTypesOf's.
absl::StatusOr<WeightForms> WeightFormsOf(const model::ModelConfig& config,
                                          const checkpoint::CheckpointReader& reader,
                                          const kernels::KernelNeeds& kernels);

// As far as the config tells, before the checkpoint is there: integers in groups as model::GroupTypes,
// routers in bf16.
WeightForms WeightFormsOf(const model::ModelConfig& config, const kernels::KernelNeeds& kernels);

}  // namespace deeprack::sizing
