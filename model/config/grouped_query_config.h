// What is particular to the config.json of model types `llama` and `qwen2`.
#pragma once

#include "model/config/json_fields.h"
#include "model/config/model_config.h"
#include "nlohmann/json.hpp"

namespace deeprack::model {

Llama3RopeScaling ReadLlama3RopeScaling(JsonFields fields);

// Attention and feed-forward of a dense model with grouped-query attention; config->model_type, hidden_size
// and num_hidden_layers are set. `object` is what `fields` reads. Refuses what would change the numbers and
// is not computed: sliding windows, biases of other projections, multimodal rope.
void ReadGroupedQueryModel(const nlohmann::json& object, JsonFields fields, ModelConfig* config);

}  // namespace deeprack::model
