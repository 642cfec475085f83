// The forms in which a device keeps a checkpoint's weights: the same for all ranks of one kind of device.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "base/weight_layout.h"
#include "checkpoint/checkpoint_reader.h"
#include "kernels/api/kernel_needs.h"
#include "model/config/model_config.h"
#include "model/tensors/tensor_types.h"

namespace deeprack::sizing {

struct WeightForms {
  // Tensors that keep the checkpoint's block format; empty if the kernels do not multiply block formats.
  model::TensorTypes types;
  // KernelNeeds::row_major; `router` is set if the kernels take bf16 row-major and all routers of the
  // checkpoint are bf16.
  RowMajorTypes row_major;
  // checkpoint::WhyNoMtp. Not empty: every RankSpec must have speculative_tokens 0.
  std::string why_no_mtp;
};

// From the headers of a checkpoint. Errors: those of checkpoint::BlockTypesOf.
absl::StatusOr<WeightForms> WeightFormsOf(const model::ModelConfig& config,
                                          const checkpoint::CheckpointReader& reader,
                                          const kernels::KernelNeeds& kernels);

// From the config alone, before the checkpoint is there: integers in groups as model::GroupTypes says, and
// routers as if they were bf16.
WeightForms WeightFormsOf(const model::ModelConfig& config, const kernels::KernelNeeds& kernels);

}  // namespace deeprack::sizing
