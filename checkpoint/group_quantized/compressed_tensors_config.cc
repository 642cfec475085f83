#include "checkpoint/group_quantized/compressed_tensors_config.h"

#include <utility>

#include "base/block_formats.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "model/config/json_fields.h"
#include "nlohmann/json.hpp"

namespace deeprack::checkpoint {

using nlohmann::json;

absl::StatusOr<std::string> WithCompressedTensors(const std::string& config_json, DType type, bool symmetric,
                                                  const std::vector<std::string>& unquantised) {
  DR_CHECK(type == DType::kInt4G128 || type == DType::kInt8G128);
  DR_ASSIGN_OR_RETURN(json config, model::ParseJsonObject(config_json, "config.json"));
  const bool int4 = type == DType::kInt4G128;
  json weights = {{"type", "int"},
                  {"num_bits", int4 ? 4 : 8},
                  {"symmetric", int4 ? symmetric : true},
                  {"strategy", int4 ? "group" : "channel"},
                  {"group_size", nullptr},
                  {"dynamic", false},
                  {"actorder", nullptr}};
  if (int4) weights["group_size"] = BlockElements(type);
  json group = {{"targets", {"Linear"}},
                {"weights", std::move(weights)},
                {"input_activations", nullptr},
                {"output_activations", nullptr}};
  config["quantization_config"] = {{"quant_method", "compressed-tensors"},
                                   {"format", int4 ? "pack-quantized" : "int-quantized"},
                                   {"quantization_status", "compressed"},
                                   {"config_groups", {{"group_0", std::move(group)}}},
                                   {"ignore", unquantised},
                                   {"kv_cache_scheme", nullptr}};
  return config.dump(2) + "\n";
}

}  // namespace deeprack::checkpoint
