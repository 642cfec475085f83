#include "checkpoint/group_quantized/block_types.h"

#include "base/status_macros.h"
#include "checkpoint/group_quantized/group_parts.h"
#include "checkpoint/group_quantized/group_quantized.h"
#include "model/tensors/group_types.h"

namespace deeprack::checkpoint {

absl::StatusOr<model::TensorTypes> BlockTypesOf(const model::ModelConfig& config,
                                                const CheckpointReader& reader) {
  if (!config.group_quantization) return reader.BlockTypes();
  if (!config.group_quantization->act_order) return model::GroupTypes(config);
  model::TensorTypes types;
  for (const model::TensorSpec& tensor : model::TensorsOf(config)) {
    if (!model::IsStoredInGroups(config, tensor)) continue;
    const bool may_be_absent = tensor.layer >= config.num_hidden_layers;  // of an MTP layer
    if (may_be_absent && AnyGroupPart(reader, tensor.name).empty()) continue;
    DR_ASSIGN_OR_RETURN(const GroupQuantizedWeight weight,
                        GroupQuantizedWeight::Open(reader, *config.group_quantization, tensor.name,
                                                   tensor.shape[0], tensor.shape[1]));
    if (weight.in_order()) types.Set(tensor.name, weight.block_type());
  }
  return types;
}

}  // namespace deeprack::checkpoint
