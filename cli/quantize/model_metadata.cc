#include "cli/quantize/model_metadata.h"

#include "absl/strings/str_cat.h"

namespace deeprack::cli {
namespace {

using checkpoint::GgufMetadata;
using model::ModelConfig;

constexpr uint32_t kQuantizationVersion = 2;  // the version of the layouts in base/block_formats.h
constexpr uint32_t kSigmoidGate = 2;          // llama.cpp's number for a sigmoid gate

// Entries under the architecture's name.
class Section {
 public:
  Section(std::string prefix, GgufMetadata& metadata) : prefix_(std::move(prefix)), metadata_(metadata) {}

  void Integer(const char* key, int64_t value) {
    metadata_.AddUint32(prefix_ + key, static_cast<uint32_t>(value));
  }
  void Number(const char* key, double value) {
    metadata_.AddFloat32(prefix_ + key, static_cast<float>(value));
  }
  void Bool(const char* key, bool value) { metadata_.AddBool(prefix_ + key, value); }
  void String(const char* key, const char* value) { metadata_.AddString(prefix_ + key, value); }

 private:
  std::string prefix_;
  GgufMetadata& metadata_;
};

void AddGroupedQueryAttention(const ModelConfig& c, Section& section) {
  section.Integer("attention.head_count_kv", c.num_key_value_heads);
  section.Integer("attention.key_length", c.qk_rope_head_dim);
  section.Integer("attention.value_length", c.v_head_dim);
}

// Describes latent attention as it is computed: one key-value head, which is the latent. The *_mla entries
// are the sizes of the heads that the latent stands for.
void AddLatentAttention(const ModelConfig& c, Section& section) {
  section.Integer("attention.head_count_kv", 1);
  if (c.q_lora_rank) section.Integer("attention.q_lora_rank", *c.q_lora_rank);
  section.Integer("attention.kv_lora_rank", c.kv_lora_rank);
  section.Integer("attention.key_length", c.kv_lora_rank + c.qk_rope_head_dim);
  section.Integer("attention.value_length", c.kv_lora_rank);
  section.Integer("attention.key_length_mla", c.qk_head_dim());
  section.Integer("attention.value_length_mla", c.v_head_dim);
}

void AddExperts(const ModelConfig& c, Section& section) {
  section.Integer("leading_dense_block_count", c.first_k_dense_replace);
  section.Integer("expert_feed_forward_length", c.moe_intermediate_size);
  section.Integer("expert_count", c.n_routed_experts);
  section.Integer("expert_used_count", c.num_experts_per_tok);
  section.Integer("expert_shared_count", c.n_shared_experts);
  section.Number("expert_weights_scale", c.routed_scaling_factor);
  section.Bool("expert_weights_norm", c.norm_topk_prob);
  section.Integer("expert_gating_func", kSigmoidGate);
  // A model that chooses all groups has no groups here: llama.cpp takes such groups for a mistake.
  if (c.topk_group < c.n_group) {
    section.Integer("expert_group_count", c.n_group);
    section.Integer("expert_group_used_count", c.topk_group);
  }
}

absl::Status AddYarn(const ModelConfig& c, Section& section) {
  const model::YarnScaling& yarn = *c.rope_scaling;
  // Readers of deepseek2 take mscale to be mscale_all_dim. Readers of the other architectures know neither.
  const double mscale_all_dim = c.has_latent_attention() ? yarn.mscale : 0;
  if (yarn.mscale_all_dim != mscale_all_dim || (!c.has_latent_attention() && yarn.mscale != 1)) {
    return absl::FailedPreconditionError(absl::StrCat("rope_scaling: mscale ", yarn.mscale,
                                                      " beside mscale_all_dim ", yarn.mscale_all_dim,
                                                      " cannot be said in a GGUF file"));
  }
  section.String("rope.scaling.type", "yarn");
  section.Number("rope.scaling.factor", yarn.factor);
  section.Integer("rope.scaling.original_context_length", yarn.original_max_position_embeddings);
  section.Number("rope.scaling.yarn_beta_fast", yarn.beta_fast);
  section.Number("rope.scaling.yarn_beta_slow", yarn.beta_slow);
  if (yarn.mscale_all_dim != 0) section.Number("rope.scaling.yarn_log_multiplier", 0.1 * yarn.mscale_all_dim);
  return absl::OkStatus();
}

}  // namespace

std::string GgufArchitecture(const ModelConfig& config) {
  return config.model_type == "deepseek_v3" ? "deepseek2" : config.model_type;
}

absl::Status AddModelMetadata(const ModelConfig& config, const std::string& name, QuantType type,
                              GgufMetadata& metadata) {
  const std::string architecture = GgufArchitecture(config);
  metadata.AddString("general.architecture", architecture);
  metadata.AddString("general.type", "model");
  metadata.AddString("general.name", name);
  metadata.AddUint32("general.file_type", GgufFileType(type));
  metadata.AddUint32("general.quantization_version", kQuantizationVersion);

  Section section(architecture + ".", metadata);
  section.Integer("block_count", config.num_hidden_layers + config.num_nextn_predict_layers);
  if (config.num_nextn_predict_layers > 0) {
    section.Integer("nextn_predict_layers", config.num_nextn_predict_layers);
  }
  section.Integer("context_length", config.max_position_embeddings);
  section.Integer("embedding_length", config.hidden_size);
  section.Integer("feed_forward_length", config.intermediate_size);
  section.Integer("vocab_size", config.vocab_size);
  section.Integer("attention.head_count", config.num_attention_heads);
  section.Number("attention.layer_norm_rms_epsilon", config.rms_norm_eps);
  section.Number("rope.freq_base", config.rope_theta);
  section.Integer("rope.dimension_count", config.qk_rope_head_dim);
  if (config.has_latent_attention()) {
    AddLatentAttention(config, section);
    AddExperts(config, section);
  } else {
    AddGroupedQueryAttention(config, section);
  }
  return config.rope_scaling ? AddYarn(config, section) : absl::OkStatus();
}

void AddSamplingMetadata(const model::GenerationDefaults& defaults, GgufMetadata& metadata) {
  metadata.AddFloat32("general.sampling.temp", defaults.temperature);
  metadata.AddFloat32("general.sampling.top_p", defaults.top_p);
  if (defaults.top_k > 0) {
    Section("general.", metadata).Integer("sampling.top_k", defaults.top_k);
  }
}

}  // namespace deeprack::cli
