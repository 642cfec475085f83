#include "model/tensors/group_types.h"

#include <string>

#include "absl/strings/strip.h"

namespace deeprack::model {

bool IsStoredInGroups(const ModelConfig& config, const TensorSpec& tensor) {
  return config.group_quantization && tensor.quantized &&
         config.group_quantization->Quantizes(std::string(absl::StripSuffix(tensor.name, ".weight")));
}

TensorTypes GroupTypes(const ModelConfig& config) {
  TensorTypes types;
  if (!config.group_quantization || config.group_quantization->act_order) return types;
  for (const TensorSpec& tensor : TensorsOf(config)) {
    if (IsStoredInGroups(config, tensor)) types.Set(tensor.name, config.group_quantization->type());
  }
  return types;
}

}  // namespace deeprack::model
