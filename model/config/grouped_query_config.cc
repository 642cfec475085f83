#include "model/config/grouped_query_config.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "model/config/config_bounds.h"

namespace deeprack::model {
namespace {

// transformers 5 writes layer_types: the kind of attention of each layer.
void CheckLayerTypes(const nlohmann::json& object, JsonFields fields) {
  const auto types = object.find("layer_types");
  if (types == object.end() || types->is_null()) return;
  const bool all_full =
      types->is_array() && std::all_of(types->begin(), types->end(), [](const auto& type) {
        return type.is_string() && type.template get_ref<const std::string&>() == "full_attention";
      });
  if (!all_full) fields.Fault("layer_types is not served yet: every layer must be full_attention");
}

}  // namespace

Llama3RopeScaling ReadLlama3RopeScaling(JsonFields fields) {
  Llama3RopeScaling scaling;
  scaling.factor = fields.Number("factor", {.min = 1, .max = kMaxNumber, .with_min = true});
  scaling.low_freq_factor = fields.Number("low_freq_factor", kPositive);
  scaling.high_freq_factor = fields.Number("high_freq_factor", kPositive);
  scaling.original_max_position_embeddings =
      fields.Integer("original_max_position_embeddings", {1, kMaxPositions});
  if (scaling.high_freq_factor <= scaling.low_freq_factor) {
    fields.Fault(absl::StrCat("high_freq_factor ", scaling.high_freq_factor,
                              " must be above low_freq_factor ", scaling.low_freq_factor));
  }
  return scaling;
}

void ReadGroupedQueryModel(const nlohmann::json& object, JsonFields fields, ModelConfig* config) {
  config->num_attention_heads = fields.Integer("num_attention_heads", {1, kMaxHeads});
  config->num_key_value_heads = fields.Integer("num_key_value_heads", {1, kMaxHeads});
  const int64_t heads = config->num_attention_heads;
  if (heads % config->num_key_value_heads != 0) {
    fields.Fault(absl::StrCat("num_attention_heads ", heads, " is not a multiple of num_key_value_heads ",
                              config->num_key_value_heads));
  }
  if (!fields.Has("head_dim") && config->hidden_size % heads != 0) {
    fields.Fault(absl::StrCat("hidden_size ", config->hidden_size,
                              " is not a multiple of num_attention_heads ", heads,
                              ", and head_dim is not given"));
  }
  const int64_t head_dim = fields.IntegerOr("head_dim", {2, kMaxHeadDim}, config->hidden_size / heads);
  if (head_dim < 2 || head_dim > kMaxHeadDim || head_dim % 2 != 0) {
    fields.Fault(absl::StrCat("head_dim must be even (pairs are rotated) and from 2 to ", kMaxHeadDim,
                              ", found ", head_dim));
  }
  config->qk_rope_head_dim = head_dim;
  config->v_head_dim = head_dim;
  config->rope_interleave = false;

  if (config->model_type == "qwen2") {
    // In every qwen2 model queries, keys and values have biases, also if the file says attention_bias: false.
    config->attention_bias = true;
    fields.RequireBool("use_sliding_window", false);
    fields.RequireBool("use_mrope", false);
    CheckLayerTypes(object, fields);
  } else {
    fields.RequireBool("attention_bias", false);  // llama's would also bias the output projection
    fields.RequireBool("mlp_bias", false);
  }
  fields.RequireString("hidden_act", {"silu"});
  config->intermediate_size = fields.Integer("intermediate_size", {1, kMaxIntermediate});
}

}  // namespace deeprack::model
