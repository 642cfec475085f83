// Fuzzes the readers of config.json and generation_config.json. A file is refused, or all code that derives
// values from it accepts it.
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "model/config/model_config.h"
#include "model/layout/layout.h"
#include "model/tensors/tensor_registry.h"
#include "sizing/weight_manifest.h"

namespace {

// The registry of a model with millions of tensors is valid but large; building it would find no errors.
constexpr int64_t kMostTensors = 1 << 14;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace deeprack;
  const std::string_view json(reinterpret_cast<const char*>(data), size);
  if (const auto defaults = model::ParseGenerationConfig(json); !defaults.ok()) {
    DR_CHECK(!defaults.status().message().empty());
  }
  const auto config = model::ParseModelConfig(json);
  if (!config.ok()) {
    DR_CHECK(absl::IsInvalidArgument(config.status()) && !config.status().message().empty());
    return 0;
  }
  DR_CHECK(config->attention_scale() > 0);
  const int64_t layers = config->num_hidden_layers + config->num_nextn_predict_layers;
  if (layers > kMostTensors / (16 + 3 * config->n_routed_experts)) return 0;
  for (const model::TensorSpec& tensor : model::TensorsOf(*config)) {
    for (const int64_t n : tensor.shape) DR_CHECK(n > 0);
  }
  for (const model::Layout layout :
       {model::Layout{}, model::Layout{.tp = 2, .ep = 2}, model::Layout{.dp = 2, .ep = 2, .pp = 2}}) {
    if (!model::ValidateLayout(*config, layout).ok()) continue;
    DR_CHECK(sizing::ManifestOf({.config = *config, .layout = layout}, {}).bytes > 0);
  }
  return 0;
}
