// Reads quantization_config of config.json: fp8 in blocks, or integers in groups of 128.
#pragma once

#include "model/config/json_fields.h"
#include "model/config/model_config.h"
#include "nlohmann/json.hpp"

namespace deeprack::model {

// Sets config->quantization_config or config->group_quantization; sets neither if the file has no
// quantization_config. `object` is the file's object, `parent` reads the same object and receives the faults.
// Reads config->tie_word_embeddings, which must be set.
void ReadQuantization(const nlohmann::json& object, JsonFields parent, ModelConfig* config);

}  // namespace deeprack::model
