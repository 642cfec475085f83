#include "model/config/model_config.h"

#include <cmath>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "model/config/config_bounds.h"
#include "model/config/config_object.h"
#include "model/config/grouped_query_config.h"
#include "model/config/json_fields.h"
#include "model/config/quantization_config.h"
#include "nlohmann/json.hpp"

namespace deeprack::model {
namespace {

constexpr IntegerRange kTokenIds = {0, kMaxVocab - 1};

// YaRN's attention temperature: 0.1 * mscale * ln(factor) + 1.
double YarnMscale(double factor, double mscale) {
  return factor <= 1 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

YarnScaling ReadYarn(JsonFields fields) {
  YarnScaling yarn;
  yarn.factor = fields.Number("factor", {.min = 1, .max = kMaxNumber, .with_min = true});
  yarn.original_max_position_embeddings =
      fields.Integer("original_max_position_embeddings", {1, kMaxPositions});
  yarn.beta_fast = fields.NumberOr("beta_fast", kPositive, yarn.beta_fast);
  yarn.beta_slow = fields.NumberOr("beta_slow", kPositive, yarn.beta_slow);
  yarn.mscale = fields.NumberOr("mscale", kPositive, yarn.mscale);
  yarn.mscale_all_dim = fields.NumberOr("mscale_all_dim", {.min = 0, .max = kMaxNumber, .with_min = true},
                                        yarn.mscale_all_dim);  // 0: no temperature
  if (yarn.beta_fast < yarn.beta_slow) {
    fields.Fault(absl::StrCat("beta_fast ", yarn.beta_fast, " must not be below beta_slow ", yarn.beta_slow));
  }
  // DeepSeek's and Hugging Face's code compute different numbers when only one of the two keys is given.
  const bool has_all_dim = yarn.mscale_all_dim != 0;
  if (has_all_dim != fields.Has("mscale") && !(yarn.mscale == 1 && !has_all_dim)) {
    fields.Fault("mscale and mscale_all_dim must be given both or neither (mscale alone may be 1)");
  }
  fields.RequireAbsent("attention_factor", "it is computed from mscale and mscale_all_dim; leave it out");
  fields.RequireBool("truncate", true);
  return yarn;
}

// Reads `rope_scaling` (DeepSeek's own files) or `rope_parameters` (files written by transformers 5).
void ReadRope(JsonFields fields, bool serves_llama3, ModelConfig* config) {
  if (fields.Has("rope_parameters") && fields.Has("rope_scaling")) {
    fields.Fault("rope_parameters and rope_scaling are both given: keep one");
  }
  const bool has_parameters = fields.Has("rope_parameters");
  JsonFields rope = fields.Object(has_parameters ? "rope_parameters" : "rope_scaling");
  JsonFields& theta_holder = has_parameters && rope.Has("rope_theta") ? rope : fields;
  config->rope_theta = theta_holder.Number("rope_theta", {.min = 1, .max = kMaxNumber});
  if (fields.Has("rope_theta") &&
      fields.Number("rope_theta", {.min = 1, .max = kMaxNumber}) != config->rope_theta) {
    fields.Fault(absl::StrCat("rope_theta differs from rope_parameters: rope_theta ", config->rope_theta));
  }
  for (JsonFields* holder : {&fields, &rope}) {
    if (holder->NumberOr("partial_rotary_factor", kPositive, 1) != 1) {
      holder->Fault("partial_rotary_factor is not served yet: it must be 1");
    }
  }
  if (!has_parameters && !fields.Has("rope_scaling")) return;

  for (const char* key : {"type", "rope_type"}) {
    if (serves_llama3) {
      rope.RequireString(key, {"yarn", "llama3", "default"});
    } else {
      rope.RequireString(key, {"yarn", "default"});
    }
  }
  const std::string type = rope.StringOr("rope_type", rope.StringOr("type", ""));
  if (type.empty()) {
    if (!has_parameters) rope.Fault("type is missing: yarn or default is required");
  } else if (rope.StringOr("type", type) != type) {
    rope.Fault("type and rope_type differ: keep one");
  } else if (type == "yarn") {
    config->rope_scaling = ReadYarn(rope);
  } else if (type == "llama3") {
    config->llama3_rope_scaling = ReadLlama3RopeScaling(rope);
  }
}

void ReadAttention(JsonFields fields, ModelConfig* config) {
  config->num_attention_heads = fields.Integer("num_attention_heads", {1, kMaxHeads});
  if (fields.Has("q_lora_rank")) config->q_lora_rank = fields.Integer("q_lora_rank", {1, kMaxWidth});
  config->kv_lora_rank = fields.Integer("kv_lora_rank", {1, kMaxWidth});
  config->qk_nope_head_dim = fields.Integer("qk_nope_head_dim", {1, kMaxHeadDim});
  config->qk_rope_head_dim = fields.Integer("qk_rope_head_dim", {2, kMaxHeadDim});
  config->v_head_dim = fields.Integer("v_head_dim", {1, kMaxHeadDim});
  if (config->qk_rope_head_dim % 2 != 0) {
    fields.Fault(
        absl::StrCat("qk_rope_head_dim must be even (pairs are rotated), found ", config->qk_rope_head_dim));
  }
  config->num_key_value_heads = config->num_attention_heads;
  // Other readers use these keys where this one derives the value from others: the values must be equal.
  fields.RequireInteger("num_key_value_heads", config->num_attention_heads,
                        "num_attention_heads: latent attention has a key and a value per head");
  fields.RequireInteger("qk_head_dim", config->qk_head_dim(), "qk_nope_head_dim + qk_rope_head_dim");
  const int64_t head_dim = fields.IntegerOr("head_dim", {1, kMaxHeadDim}, config->qk_rope_head_dim);
  if (head_dim != config->qk_rope_head_dim && head_dim != config->qk_head_dim()) {
    fields.Fault(absl::StrCat("head_dim ", head_dim, " is neither qk_rope_head_dim ",
                              config->qk_rope_head_dim, " nor qk_nope_head_dim + qk_rope_head_dim ",
                              config->qk_head_dim()));
  }
  fields.RequireBool("attention_bias", false);
  config->rope_interleave = fields.BoolOr("rope_interleave", true);
}

void CheckRouting(const ModelConfig& c, JsonFields fields) {
  if (c.n_routed_experts % c.n_group != 0) {
    fields.Fault(
        absl::StrCat("n_routed_experts ", c.n_routed_experts, " is not a multiple of n_group ", c.n_group));
    return;
  }
  const int64_t group_size = c.n_routed_experts / c.n_group;
  if (group_size < 2) {
    fields.Fault(absl::StrCat(
        "n_routed_experts ", c.n_routed_experts, " in n_group ", c.n_group,
        " groups: each group would have one expert, but groups are ranked by their two best experts"));
  }
  if (c.topk_group > c.n_group) {
    fields.Fault(absl::StrCat("topk_group ", c.topk_group, " is more than n_group ", c.n_group));
  }
  if (c.num_experts_per_tok > c.topk_group * group_size) {
    fields.Fault(absl::StrCat("num_experts_per_tok ", c.num_experts_per_tok, " is more than the ",
                              c.topk_group * group_size, " experts of topk_group ", c.topk_group, " groups"));
  }
  const int64_t moe_layers = c.num_hidden_layers - c.first_k_dense_replace + c.num_nextn_predict_layers;
  if (moe_layers * c.n_routed_experts > kMaxExpertsOfAllLayers) {
    fields.Fault(absl::StrCat(moe_layers, " layers of n_routed_experts ", c.n_routed_experts,
                              " are more than the ", kMaxExpertsOfAllLayers,
                              " experts that a model may have"));
  }
}

void ReadFeedForward(JsonFields fields, ModelConfig* config) {
  config->first_k_dense_replace =
      fields.IntegerOr("first_k_dense_replace", {0, config->num_hidden_layers}, 0);
  config->n_routed_experts = fields.IntegerOr("n_routed_experts", {0, kMaxExperts}, 0);
  config->num_nextn_predict_layers = fields.IntegerOr("num_nextn_predict_layers", {0, kMaxMtpLayers}, 0);
  fields.RequireString("hidden_act", {"silu"});
  fields.RequireString("scoring_func", {"sigmoid"});
  fields.RequireString("topk_method", {"noaux_tc"});
  fields.RequireInteger("moe_layer_freq", 1,
                        "every layer after first_k_dense_replace is a mixture of experts");

  if (!config->is_moe_layer(0))
    config->intermediate_size = fields.Integer("intermediate_size", {1, kMaxIntermediate});
  if (config->n_routed_experts == 0) return;
  config->moe_intermediate_size = fields.Integer("moe_intermediate_size", {1, kMaxExpertWidth});
  config->n_shared_experts = fields.IntegerOr("n_shared_experts", {0, kMaxExperts}, 0);
  config->num_experts_per_tok = fields.Integer("num_experts_per_tok", {1, config->n_routed_experts});
  config->n_group = fields.Integer("n_group", {1, config->n_routed_experts});
  config->topk_group = fields.Integer("topk_group", {1, config->n_routed_experts});
  config->norm_topk_prob = fields.Bool("norm_topk_prob");
  config->routed_scaling_factor = fields.Number("routed_scaling_factor", kPositive);
  if (config->n_shared_experts * config->moe_intermediate_size > kMaxIntermediate) {
    fields.Fault(absl::StrCat("n_shared_experts x moe_intermediate_size is ",
                              config->n_shared_experts * config->moe_intermediate_size, ", more than ",
                              kMaxIntermediate));
  }
  CheckRouting(*config, fields);
}

}  // namespace

double ModelConfig::attention_scale() const {
  const double scale = 1.0 / std::sqrt(static_cast<double>(qk_head_dim()));
  if (!rope_scaling || rope_scaling->mscale_all_dim == 0) return scale;
  const double m = YarnMscale(rope_scaling->factor, rope_scaling->mscale_all_dim);
  return scale * m * m;
}

absl::StatusOr<ModelConfig> ReadModelConfig(const nlohmann::json& object, const std::string& where) {
  absl::Status fault;
  JsonFields fields(object, where, &fault);

  ModelConfig config;
  config.model_type = fields.StringOr("model_type", "");
  if (config.model_type.empty())
    fields.Fault("model_type is missing: deepseek_v3, llama or qwen2 is required");
  fields.RequireString("model_type", {"deepseek_v3", "llama", "qwen2"});
  if (!fault.ok()) return fault;  // the keys of another architecture have other meanings

  config.hidden_size = fields.Integer("hidden_size", {1, kMaxWidth});
  config.num_hidden_layers = fields.Integer("num_hidden_layers", {1, kMaxLayers});
  config.vocab_size = fields.Integer("vocab_size", {1, kMaxVocab});
  config.max_position_embeddings = fields.Integer("max_position_embeddings", {1, kMaxPositions});
  config.rms_norm_eps = fields.Number("rms_norm_eps", {.min = 0, .max = 1});
  config.tie_word_embeddings = fields.BoolOr("tie_word_embeddings", false);
  config.bos_token_id = fields.IntegerOr("bos_token_id", {0, config.vocab_size - 1}, 0);
  config.eos_token_id = fields.Integers("eos_token_id", {0, config.vocab_size - 1});
  const bool grouped_query = config.model_type != "deepseek_v3";
  ReadRope(fields, /*serves_llama3=*/grouped_query, &config);
  if (grouped_query) {
    ReadGroupedQueryModel(object, fields, &config);
  } else {
    ReadAttention(fields, &config);
    ReadFeedForward(fields, &config);
  }
  ReadQuantization(object, fields, &config);
  if (!fault.ok()) return fault;
  return config;
}

absl::StatusOr<ModelConfig> ParseModelConfig(std::string_view text) {
  DR_ASSIGN_OR_RETURN(const nlohmann::json object, ParseJsonObject(text, "config.json"));
  return ReadModelConfig(object, "config.json");
}

absl::StatusOr<GenerationDefaults> ReadGenerationConfig(const nlohmann::json& object,
                                                        const std::string& where) {
  absl::Status fault;
  JsonFields fields(object, where, &fault);

  GenerationDefaults defaults;
  defaults.temperature =
      static_cast<float>(fields.NumberOr("temperature", {.min = 0, .max = 100, .with_min = true}, 1));
  defaults.top_p = static_cast<float>(fields.NumberOr("top_p", {.min = 0, .max = 1}, 1));
  defaults.top_k = static_cast<int32_t>(fields.IntegerOr("top_k", {0, kMaxVocab}, 0));
  defaults.eos_token_id = fields.Integers("eos_token_id", kTokenIds);
  if (!fields.BoolOr("do_sample", true)) defaults.temperature = 0;
  if (!fault.ok()) return fault;
  return defaults;
}

absl::StatusOr<GenerationDefaults> ParseGenerationConfig(std::string_view text) {
  DR_ASSIGN_OR_RETURN(const nlohmann::json object, ParseJsonObject(text, "generation_config.json"));
  return ReadGenerationConfig(object, "generation_config.json");
}

}  // namespace deeprack::model
