// config.json of a Hugging Face folder as a value. Field names are the file's keys, verbatim.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "model/config/group_quantization.h"

namespace deeprack::model {

// rope_scaling {type: yarn}: YaRN, arXiv:2309.00071, in DeepSeek's form.
struct YarnScaling {
  double factor = 1;
  int64_t original_max_position_embeddings = 0;
  double beta_fast = 32;
  double beta_slow = 1;
  double mscale = 1;
  double mscale_all_dim = 0;
};

// rope_scaling {rope_type: llama3}: frequencies slower than `low_freq_factor` turns over the original context
// are divided by `factor`, those faster than `high_freq_factor` turns stay, with a linear blend between.
struct Llama3RopeScaling {
  double factor = 1;
  double low_freq_factor = 1;
  double high_freq_factor = 4;
  int64_t original_max_position_embeddings = 0;
};

// quantization_config {quant_method: fp8, fmt: e4m3}.
struct Fp8BlockQuantization {
  int64_t block_rows = 128;
  int64_t block_cols = 128;
};

struct ModelConfig {
  std::string model_type;
  int64_t hidden_size = 0;
  int64_t num_hidden_layers = 0;
  int64_t vocab_size = 0;
  int64_t max_position_embeddings = 0;
  double rms_norm_eps = 0;
  double rope_theta = 0;
  std::optional<YarnScaling> rope_scaling;
  std::optional<Llama3RopeScaling> llama3_rope_scaling;  // never beside rope_scaling
  bool rope_interleave = true;
  // No key of a config.json: GGUF's tensor rope_freqs.weight, by which the frequency of each pair is divided.
  // Empty: none; never beside the two scalings.
  std::vector<float> rope_freqs;
  bool tie_word_embeddings = false;
  bool attention_bias = false;  // queries, keys and values have one (qwen2)

  // Attention: latent when kv_lora_rank > 0, else grouped-query. Of grouped-query heads all of a query or key
  // is rotated: qk_nope_head_dim is 0, qk_rope_head_dim and v_head_dim are the file's head_dim.
  int64_t num_attention_heads = 0;
  int64_t num_key_value_heads = 0;
  std::optional<int64_t> q_lora_rank;  // null: q_proj instead of q_a_proj, q_b_proj
  int64_t kv_lora_rank = 0;
  int64_t qk_nope_head_dim = 0;
  int64_t qk_rope_head_dim = 0;
  int64_t v_head_dim = 0;
  // No key of a config.json: newer GGUF files hold kv_b_proj as k_b_proj, transposed by head, and v_b_proj.
  bool split_kv_b = false;

  // Feed-forward: the first first_k_dense_replace layers are dense, the rest mixtures of experts.
  int64_t intermediate_size = 0;
  int64_t moe_intermediate_size = 0;
  int64_t first_k_dense_replace = 0;
  int64_t n_routed_experts = 0;
  int64_t n_shared_experts = 0;
  int64_t num_experts_per_tok = 0;
  int64_t n_group = 1;
  int64_t topk_group = 1;
  bool norm_topk_prob = true;
  double routed_scaling_factor = 1;

  int64_t num_nextn_predict_layers = 0;  // multi-token-prediction layers stored after the last
  std::optional<Fp8BlockQuantization> quantization_config;
  std::optional<GroupQuantization> group_quantization;  // the file's quantization_config too; never beside it
  std::vector<int64_t> eos_token_id;                    // one or several in the file
  int64_t bos_token_id = 0;

  bool has_latent_attention() const { return kv_lora_rank > 0; }
  int64_t qk_head_dim() const { return qk_nope_head_dim + qk_rope_head_dim; }
  bool is_moe_layer(int64_t layer) const { return layer >= first_k_dense_replace && n_routed_experts > 0; }
  // (qk_head_dim)^-0.5, times m^2 with m = 0.1 * mscale_all_dim * ln(factor) + 1 under YaRN.
  double attention_scale() const;
};

// Strict: a key whose value this engine cannot honour is refused by name with what would be accepted
// (an unknown model_type, scoring_func, topk_method, hidden_act, rope_scaling type, quant_method, bits, ...),
// and so are sizes that do not fit together. Keys that cannot change the numbers are ignored. InvalidArgument
// on error.
absl::StatusOr<ModelConfig> ParseModelConfig(std::string_view json);

// Sampling defaults of generation_config.json; absent fields keep OpenAI's defaults. `do_sample: false` is
// temperature 0.
struct GenerationDefaults {
  float temperature = 1.0f;
  float top_p = 1.0f;
  int32_t top_k = 0;
  std::vector<int64_t> eos_token_id;
};
absl::StatusOr<GenerationDefaults> ParseGenerationConfig(std::string_view json);

}  // namespace deeprack::model
