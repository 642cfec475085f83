// Reads the parts of config.json that only model types `llama` and `qwen2` have.
#pragma once

#include "model/config/json_fields.h"
#include "model/config/model_config.h"
#include "nlohmann/json.hpp"

namespace deeprack::model {

Llama3RopeScaling ReadLlama3RopeScaling(JsonFields fields);

// Reads attention and feed-forward of a dense model with grouped-query attention. `object` is the object that
// `fields` reads. In `config`, model_type, hidden_size and num_hidden_layers must be set. Faults on settings
// that change the numbers and are not computed here: sliding windows, biases of other projections, multimodal
// rope.
void ReadGroupedQueryModel(const nlohmann::json& object, JsonFields fields, ModelConfig* config);

}  // namespace deeprack::model
