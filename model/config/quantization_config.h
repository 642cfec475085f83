// quantization_config of config.json: fp8 blocks, or integers in groups of 128.
#pragma once

#include "model/config/json_fields.h"
#include "model/config/model_config.h"
#include "nlohmann/json.hpp"

namespace deeprack::model {

// Fills quantization_config or group_quantization, or neither where the file has none. `object` is the file,
// `parent` its fields; faults go there. What is read of `config`: tie_word_embeddings.
void ReadQuantization(const nlohmann::json& object, JsonFields parent, ModelConfig* config);

}  // namespace deeprack::model
