// DeepSeek R1's config.json as published, and a small model of its architecture.
#pragma once

#include <string>

#include "gtest/gtest.h"
#include "model/config/model_config.h"
#include "nlohmann/json.hpp"

namespace deeprack::model {

inline constexpr char kR1Config[] = R"({
  "architectures": ["DeepseekV3ForCausalLM"],
  "attention_bias": false,
  "attention_dropout": 0.0,
  "auto_map": {
    "AutoConfig": "configuration_deepseek.DeepseekV3Config",
    "AutoModel": "modeling_deepseek.DeepseekV3Model",
    "AutoModelForCausalLM": "modeling_deepseek.DeepseekV3ForCausalLM"
  },
  "bos_token_id": 0,
  "eos_token_id": 1,
  "ep_size": 1,
  "first_k_dense_replace": 3,
  "hidden_act": "silu",
  "hidden_size": 7168,
  "initializer_range": 0.02,
  "intermediate_size": 18432,
  "kv_lora_rank": 512,
  "max_position_embeddings": 163840,
  "model_type": "deepseek_v3",
  "moe_intermediate_size": 2048,
  "moe_layer_freq": 1,
  "n_group": 8,
  "n_routed_experts": 256,
  "n_shared_experts": 1,
  "norm_topk_prob": true,
  "num_attention_heads": 128,
  "num_experts_per_tok": 8,
  "num_hidden_layers": 61,
  "num_key_value_heads": 128,
  "num_nextn_predict_layers": 1,
  "q_lora_rank": 1536,
  "qk_nope_head_dim": 128,
  "qk_rope_head_dim": 64,
  "quantization_config": {
    "activation_scheme": "dynamic",
    "fmt": "e4m3",
    "quant_method": "fp8",
    "weight_block_size": [128, 128]
  },
  "rms_norm_eps": 1e-06,
  "rope_scaling": {
    "beta_fast": 32,
    "beta_slow": 1,
    "factor": 40,
    "mscale": 1.0,
    "mscale_all_dim": 1.0,
    "original_max_position_embeddings": 4096,
    "type": "yarn"
  },
  "rope_theta": 10000,
  "routed_scaling_factor": 2.5,
  "scoring_func": "sigmoid",
  "tie_word_embeddings": false,
  "topk_group": 4,
  "topk_method": "noaux_tc",
  "torch_dtype": "bfloat16",
  "transformers_version": "4.46.3",
  "use_cache": true,
  "v_head_dim": 128,
  "vocab_size": 129280
})";

inline nlohmann::json R1Json() { return nlohmann::json::parse(kR1Config); }

inline ModelConfig MustParse(const nlohmann::json& json) {
  absl::StatusOr<ModelConfig> config = ParseModelConfig(json.dump());
  EXPECT_TRUE(config.ok()) << config.status();
  return config.ok() ? *config : ModelConfig{};
}

inline ModelConfig R1() { return MustParse(R1Json()); }

// Small sizes that are not multiples of 16 or 128, so that slices cut panels and fp8 blocks: 8 heads of 40 +
// 24, 12 experts in 4 groups, one dense layer, two layers of experts and an MTP layer.
inline nlohmann::json SmallJson() {
  nlohmann::json json = R1Json();
  json.update({{"hidden_size", 200},
               {"num_hidden_layers", 3},
               {"vocab_size", 301},
               {"num_attention_heads", 8},
               {"num_key_value_heads", 8},
               {"q_lora_rank", 72},
               {"kv_lora_rank", 136},
               {"qk_nope_head_dim", 40},
               {"qk_rope_head_dim", 24},
               {"v_head_dim", 40},
               {"intermediate_size", 344},
               {"moe_intermediate_size", 152},
               {"first_k_dense_replace", 1},
               {"n_routed_experts", 12},
               {"n_shared_experts", 2},
               {"num_experts_per_tok", 4},
               {"n_group", 4},
               {"topk_group", 2},
               {"max_position_embeddings", 4096}});
  return json;
}

inline ModelConfig Small() { return MustParse(SmallJson()); }

}  // namespace deeprack::model
