// Configurations for the tests of `deeprack quantize`.
#pragma once

#include "model/config/model_config.h"

namespace deeprack::cli {

inline model::ModelConfig R1Config() {
  model::ModelConfig config;
  config.model_type = "deepseek_v3";
  config.hidden_size = 7168;
  config.num_hidden_layers = 61;
  config.vocab_size = 129280;
  config.max_position_embeddings = 163840;
  config.rms_norm_eps = 1e-6;
  config.rope_theta = 10000;
  config.rope_scaling = model::YarnScaling{
      .factor = 40, .original_max_position_embeddings = 4096, .mscale = 1, .mscale_all_dim = 1};
  config.num_attention_heads = 128;
  config.num_key_value_heads = 128;
  config.q_lora_rank = 1536;
  config.kv_lora_rank = 512;
  config.qk_nope_head_dim = 128;
  config.qk_rope_head_dim = 64;
  config.v_head_dim = 128;
  config.intermediate_size = 18432;
  config.moe_intermediate_size = 2048;
  config.first_k_dense_replace = 3;
  config.n_routed_experts = 256;
  config.n_shared_experts = 1;
  config.num_experts_per_tok = 8;
  config.n_group = 8;
  config.topk_group = 4;
  config.routed_scaling_factor = 2.5;
  config.num_nextn_predict_layers = 1;
  config.eos_token_id = {1};
  return config;
}

// Llama 3.1 8B.
inline model::ModelConfig LlamaConfig() {
  model::ModelConfig config;
  config.model_type = "llama";
  config.hidden_size = 4096;
  config.num_hidden_layers = 32;
  config.vocab_size = 128256;
  config.max_position_embeddings = 131072;
  config.rms_norm_eps = 1e-5;
  config.rope_theta = 500000;
  config.llama3_rope_scaling =
      model::Llama3RopeScaling{.factor = 8, .original_max_position_embeddings = 8192};
  config.rope_interleave = false;
  config.num_attention_heads = 32;
  config.num_key_value_heads = 8;
  config.qk_rope_head_dim = 128;
  config.v_head_dim = 128;
  config.intermediate_size = 14336;
  return config;
}

}  // namespace deeprack::cli
