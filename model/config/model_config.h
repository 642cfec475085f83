// config.json of a Hugging Face model folder as a value. Field names are the file's keys, verbatim.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "model/config/group_quantization.h"

namespace deeprack::model {

// rope_scaling {type: yarn}: YaRN, arXiv:2309.00071, as DeepSeek's code computes it.
struct YarnScaling {
  double factor = 1;
  int64_t original_max_position_embeddings = 0;
  double beta_fast = 32;
  double beta_slow = 1;
  double mscale = 1;
  double mscale_all_dim = 0;
};

// rope_scaling {rope_type: llama3}. A frequency that makes fewer than `low_freq_factor` turns over the
// original context is divided by `factor`. A frequency that makes more than `high_freq_factor` turns is
// unchanged. Between, the two are blended linearly.
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
  std::optional<Llama3RopeScaling> llama3_rope_scaling;  // set only if rope_scaling is not
  bool rope_interleave = true;
  // [qk_rope_head_dim / 2]: the divisor of each pair's frequency, from GGUF's tensor rope_freqs.weight;
  // config.json has no key for it. Empty: no divisors. Set only if both scalings above are not.
  std::vector<float> rope_freqs;
  bool tie_word_embeddings = false;
  bool attention_bias = false;  // queries, keys and values have a bias (qwen2)

  // Attention: latent if kv_lora_rank > 0, else grouped-query. With grouped-query attention all values of a
  // query or key head are rotated: qk_nope_head_dim is 0; qk_rope_head_dim and v_head_dim are the file's
  // head_dim.
  int64_t num_attention_heads = 0;
  int64_t num_key_value_heads = 0;
  std::optional<int64_t> q_lora_rank;  // absent: the model has q_proj instead of q_a_proj and q_b_proj
  int64_t kv_lora_rank = 0;
  int64_t qk_nope_head_dim = 0;
  int64_t qk_rope_head_dim = 0;
  int64_t v_head_dim = 0;
  // True for newer GGUF files, which store kv_b_proj as k_b_proj (transposed by head) and v_b_proj.
  // config.json has no key for it.
  bool split_kv_b = false;

  // Feed-forward: the first first_k_dense_replace layers are dense, the others are mixtures of experts.
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

  int64_t num_nextn_predict_layers = 0;  // multi-token-prediction layers, stored after the last layer
  std::optional<Fp8BlockQuantization> quantization_config;
  // The same key quantization_config for integers in groups. At most one of the two fields is set.
  std::optional<GroupQuantization> group_quantization;
  std::vector<int64_t> eos_token_id;  // the file holds one id or an array of ids
  int64_t bos_token_id = 0;

  bool has_latent_attention() const { return kv_lora_rank > 0; }
  int64_t qk_head_dim() const { return qk_nope_head_dim + qk_rope_head_dim; }
  bool is_moe_layer(int64_t layer) const { return layer >= first_k_dense_replace && n_routed_experts > 0; }
  // The factor of queries times keys: qk_head_dim^-0.5, and with YaRN times m^2, where m = 0.1 *
  // mscale_all_dim * ln(factor) + 1.
  double attention_scale() const;
};

// Parses config.json strictly. InvalidArgument for a key whose value this engine cannot honour (an unknown
// model_type, scoring_func, topk_method, hidden_act, rope_scaling type, quant_method, bits, ...) and for
// sizes that contradict each other; the message names the key, its value and the accepted values. Keys that
// cannot change the numbers are ignored.
absl::StatusOr<ModelConfig> ParseModelConfig(std::string_view json);

// Sampling defaults of generation_config.json. Absent fields keep OpenAI's defaults. `do_sample: false` gives
// temperature 0.
struct GenerationDefaults {
  float temperature = 1.0f;
  float top_p = 1.0f;
  int32_t top_k = 0;
  std::vector<int64_t> eos_token_id;
};
absl::StatusOr<GenerationDefaults> ParseGenerationConfig(std::string_view json);

}  // namespace deeprack::model
