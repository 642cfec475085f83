#include "sizing/weight_forms.h"

#include "base/status_macros.h"
#include "checkpoint/check/checkpoint_check.h"
#include "checkpoint/group_quantized/block_types.h"
#include "model/tensors/group_types.h"
#include "model/tensors/tensor_registry.h"

namespace deeprack::sizing {

namespace {

bool KeepsBlocks(const model::ModelConfig& config, const kernels::KernelNeeds& kernels) {
  const bool takes_int4 = IsTiles(kernels.row_major.int4) && config.group_quantization &&
                          config.group_quantization->type() == DType::kInt4G128;
  return kernels.multiplies_blocks || takes_int4;
}

bool HasBf16Routers(const model::ModelConfig& config, const checkpoint::CheckpointReader& reader) {
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    if (!config.is_moe_layer(layer)) continue;
    for (const model::TensorSpec& tensor : model::LayerTensors(config, layer)) {
      if (tensor.kind != model::TensorKind::kRouter) continue;
      const checkpoint::TensorView* view = reader.Find(tensor.name);
      if (view == nullptr || view->dtype != DType::kBF16) return false;
    }
  }
  return true;
}

}  // namespace

absl::StatusOr<WeightForms> WeightFormsOf(const model::ModelConfig& config,
                                          const checkpoint::CheckpointReader& reader,
                                          const kernels::KernelNeeds& kernels) {
  WeightForms forms = {
      .types = {}, .row_major = kernels.row_major, .why_no_mtp = checkpoint::WhyNoMtp(config, reader)};
  if (KeepsBlocks(config, kernels)) {
    DR_ASSIGN_OR_RETURN(forms.types, checkpoint::BlockTypesOf(config, reader));
  }
  forms.row_major.router = forms.row_major.bf16 && HasBf16Routers(config, reader);
  return forms;
}

WeightForms WeightFormsOf(const model::ModelConfig& config, const kernels::KernelNeeds& kernels) {
  WeightForms forms = {
      .types = {}, .row_major = kernels.row_major, .why_no_mtp = checkpoint::WhyNoMtp(config)};
  if (KeepsBlocks(config, kernels)) forms.types = model::GroupTypes(config);
  forms.row_major.router = forms.row_major.bf16;
  return forms;
}

}  // namespace deeprack::sizing
