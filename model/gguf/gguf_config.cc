#include "model/gguf/gguf_config.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/message_text.h"
#include "base/status_macros.h"
#include "model/config/config_object.h"
#include "model/gguf/gguf_fields.h"
#include "model/gguf/gguf_tensor_names.h"
#include "model/gguf/gguf_tensor_type.h"

namespace deeprack::model {
namespace {

using nlohmann::json;

constexpr char kRopeFreqs[] = "rope_freqs.weight";
constexpr double kDefaultRopeTheta = 10000;
// The 0.1 of YaRN's 0.1 * mscale_all_dim * ln(factor) + 1. The converter stores mscale_all_dim times this.
constexpr double kLogMultiplier = 0.1;

// Values of the key expert_gating_func.
constexpr int64_t kSoftmax = 1;
constexpr int64_t kSigmoid = 2;

template <class T>
json OrNull(const std::optional<T>& value) {
  return value ? json(*value) : json(nullptr);
}

class ConfigJson {
 public:
  ConfigJson(const GgufModel& model, std::string architecture)
      : model_(model), fields_(model), prefix_(std::move(architecture) + ".") {}

  absl::StatusOr<json> Read() {
    const std::string type = fields_.String("general.type").value_or("model");
    if (type != "model") {
      fields_.Fault(
          absl::StrCat("general.type is ", QuotedName(type), ": give a file whose general.type is model"));
    }
    const bool deepseek = prefix_ == "deepseek2.";
    ReadSizes();
    ReadTokens();
    ReadRope();
    if (deepseek) {
      object_["model_type"] = "deepseek_v3";
      ReadLatentAttention();
      ReadExperts();
    } else {
      object_["model_type"] = prefix_.substr(0, prefix_.size() - 1);
      ReadGroupedQueryAttention();
      fields_.RequireInteger(Key("expert_count"), 0);
      fields_.RequireInteger(Key("expert_used_count"), 0);
    }
    fields_.RequireBool(Key("attention.causal"), true);
    fields_.RequireInteger(Key("attention.sliding_window"), 0);
    for (const char* key : {"attention.layer_norm_epsilon", "pooling_type", "tensor_data_layout"}) {
      fields_.Ignore(Key(key));
    }
    fields_.RefuseOthers(prefix_);
    if (!fields_.ok()) return fields_.status();
    return std::move(object_);
  }

 private:
  std::string Key(const char* suffix) const { return prefix_ + suffix; }

  void ReadSizes() {
    const int64_t mtp_layers = fields_.Integer(Key("nextn_predict_layers")).value_or(0);
    const int64_t blocks = fields_.Integer(Key("block_count")).value_or(0);
    if (mtp_layers < 0 || mtp_layers > blocks) {
      fields_.Fault(absl::StrCat(Key("nextn_predict_layers"), " ", mtp_layers, " of block_count ", blocks));
    } else {
      object_["num_hidden_layers"] = blocks - mtp_layers;
      object_["num_nextn_predict_layers"] = mtp_layers;
    }
    object_["hidden_size"] = OrNull(fields_.Integer(Key("embedding_length")));
    object_["max_position_embeddings"] = OrNull(fields_.Integer(Key("context_length")));
    object_["intermediate_size"] = OrNull(fields_.IntegerOfAllLayers(Key("feed_forward_length")));
    object_["num_attention_heads"] = OrNull(fields_.IntegerOfAllLayers(Key("attention.head_count")));
    object_["rms_norm_eps"] = OrNull(fields_.Number(Key("attention.layer_norm_rms_epsilon")));
    object_["hidden_act"] = "silu";
    object_["tie_word_embeddings"] = model_.FindTensor("output.weight") == nullptr;

    std::optional<int64_t> vocab = fields_.Integer(Key("vocab_size"));
    const GgufTensor* embedding = model_.FindTensor("token_embd.weight");
    if (!vocab && embedding != nullptr) vocab = embedding->shape.front();
    object_["vocab_size"] = OrNull(vocab);
  }

  void ReadTokens() {
    object_["bos_token_id"] = OrNull(fields_.Integer("tokenizer.ggml.bos_token_id"));
    json ends = json::array();
    for (const char* name : {"eos", "eot", "eom"}) {
      const auto id = fields_.Integer(absl::StrCat("tokenizer.ggml.", name, "_token_id"));
      if (id && std::find(ends.begin(), ends.end(), *id) == ends.end()) ends.push_back(*id);
    }
    if (!ends.empty()) object_["eos_token_id"] = std::move(ends);
  }

  void ReadRope() {
    object_["rope_theta"] = fields_.Number(Key("rope.freq_base")).value_or(kDefaultRopeTheta);
    const std::string type = fields_.String(Key("rope.scaling.type")).value_or("none");
    fields_.Ignore(Key("rope.scaling.finetuned"));
    fields_.RequireNumber(Key("rope.scale_linear"), 1);
    fields_.RequireNumber(Key("rope.scaling.attn_factor"), 1);
    fields_.RequireNumber(Key("rope.scaling.yarn_attn_factor"), 1);
    fields_.RequireNumber(Key("rope.scaling.yarn_ext_factor"), 1);
    const std::optional<double> factor = fields_.Number(Key("rope.scaling.factor"));
    const auto original = fields_.Integer(Key("rope.scaling.original_context_length"));
    const auto fast = fields_.Number(Key("rope.scaling.yarn_beta_fast"));
    const auto slow = fields_.Number(Key("rope.scaling.yarn_beta_slow"));
    const auto log_multiplier = fields_.Number(Key("rope.scaling.yarn_log_multiplier"));
    if (type != "yarn") {
      if (type != "none") {
        fields_.Fault(absl::StrCat(Key("rope.scaling.type"), " ", QuotedName(type),
                                   " is not served yet: it must be yarn or none"));
      }
      if (factor.value_or(1) != 1 && factor.value_or(0) != 0) {
        fields_.Fault(absl::StrCat(Key("rope.scaling.factor"), " ", *factor,
                                   " without rope.scaling.type yarn is not served yet"));
      }
      return;
    }
    json yarn = {{"type", "yarn"},
                 {"factor", OrNull(factor)},
                 {"original_max_position_embeddings", OrNull(original)},
                 {"beta_fast", OrNull(fast)},
                 {"beta_slow", OrNull(slow)}};
    if (log_multiplier.value_or(0) != 0) {
      // Digits beyond the precision of a float are rounding errors.
      const double mscale = ShortestDecimal(static_cast<float>(*log_multiplier / kLogMultiplier));
      yarn["mscale"] = yarn["mscale_all_dim"] = mscale;
    }
    object_["rope_scaling"] = std::move(yarn);
  }

  void ReadGroupedQueryAttention() {
    std::optional<int64_t> kv_heads = fields_.IntegerOfAllLayers(Key("attention.head_count_kv"));
    object_["num_key_value_heads"] = kv_heads ? json(*kv_heads) : object_["num_attention_heads"];
    const std::optional<int64_t> head_dim = fields_.Integer(Key("attention.key_length"));
    object_["head_dim"] = OrNull(head_dim);
    // Other readers use these keys where this one uses head_dim: the values must be equal.
    for (const char* key : {"attention.value_length", "rope.dimension_count"}) {
      const std::optional<int64_t> other = fields_.Integer(Key(key));
      if (!other) continue;
      if (!head_dim && object_["head_dim"].is_null()) object_["head_dim"] = *other;
      if (object_["head_dim"] != *other) {
        fields_.Fault(absl::StrCat(Key(key), " ", *other, " is not served: the size of a head, ",
                                   object_["head_dim"].dump(), ", is expected"));
      }
    }
  }

  void ReadLatentAttention() {
    object_["q_lora_rank"] = OrNull(fields_.Integer(Key("attention.q_lora_rank")));
    object_["kv_lora_rank"] = OrNull(fields_.Integer(Key("attention.kv_lora_rank")));
    // Newer files give the sizes of attention over the latent in key_length and value_length, and the sizes
    // of a head in key_length_mla and value_length_mla.
    const auto heads_kv = fields_.Integer(Key("attention.head_count_kv"));
    const auto key_length = fields_.Integer(Key("attention.key_length"));
    const auto value_length = fields_.Integer(Key("attention.value_length"));
    const auto key_length_mla = fields_.Integer(Key("attention.key_length_mla"));
    const auto value_length_mla = fields_.Integer(Key("attention.value_length_mla"));
    const auto rope = fields_.Integer(Key("rope.dimension_count"));
    const auto key = key_length_mla ? key_length_mla : key_length;
    object_["qk_rope_head_dim"] = OrNull(rope);
    if (key && rope) object_["qk_nope_head_dim"] = *rope >= 0 && *key > *rope ? *key - *rope : 0;
    object_["v_head_dim"] = OrNull(value_length_mla ? value_length_mla : value_length);
    if (heads_kv && *heads_kv != 1 && object_["num_attention_heads"] != *heads_kv) {
      fields_.Fault(absl::StrCat(Key("attention.head_count_kv"), " ", *heads_kv,
                                 " is not served: it must be 1 or attention.head_count"));
    }
  }

  void ReadExperts() {
    const int64_t experts = fields_.Integer(Key("expert_count")).value_or(0);
    const auto used = fields_.IntegerOfAllLayers(Key("expert_used_count"));
    const int64_t gating = fields_.Integer(Key("expert_gating_func")).value_or(kSoftmax);
    object_["n_routed_experts"] = experts;
    object_["num_experts_per_tok"] = OrNull(used);
    object_["n_shared_experts"] = OrNull(fields_.Integer(Key("expert_shared_count")));
    object_["moe_intermediate_size"] = OrNull(fields_.IntegerOfAllLayers(Key("expert_feed_forward_length")));
    object_["first_k_dense_replace"] = OrNull(fields_.Integer(Key("leading_dense_block_count")));
    object_["norm_topk_prob"] = fields_.Bool(Key("expert_weights_norm")).value_or(false);
    const double scale = fields_.Number(Key("expert_weights_scale")).value_or(1);
    object_["routed_scaling_factor"] = scale == 0 ? 1 : scale;  // 0: none
    if (experts > 0 && gating != kSigmoid) {
      object_["scoring_func"] = gating == kSoftmax ? "softmax" : absl::StrCat("expert_gating_func ", gating);
    }

    // Files from before the end of 2025 lack the keys for expert groups.
    const bool like_r1 =
        experts == 256 && used == 8 && object_["hidden_size"] == 7168 && object_["num_hidden_layers"] == 61;
    const int64_t groups = fields_.Integer(Key("expert_group_count")).value_or(like_r1 ? 8 : 1);
    const int64_t used_groups = fields_.Integer(Key("expert_group_used_count")).value_or(like_r1 ? 4 : 1);
    object_["n_group"] = groups == 0 ? 1 : groups;  // 0: none
    object_["topk_group"] = used_groups == 0 ? 1 : used_groups;
  }

  const GgufModel& model_;
  GgufFields fields_;
  const std::string prefix_;
  json object_ = json::object();
};

absl::StatusOr<std::vector<float>> ReadRopeFreqs(const GgufModel& model, const ModelConfig& config) {
  const GgufTensor* tensor = model.FindTensor(kRopeFreqs);
  if (tensor == nullptr) return std::vector<float>();
  const std::vector<int64_t> expected = {config.qk_rope_head_dim / 2};
  if (tensor->dtype != DType::kF32 || tensor->shape != expected) {
    return absl::DataLossError(
        absl::StrCat(model.FileOf(*tensor), ": tensor ", kRopeFreqs, " is ", ShapeText(tensor->shape), " of ",
                     std::string(Name(tensor->dtype)), ", expected ", ShapeText(expected), " of F32"));
  }
  const std::span<const std::byte> bytes = model.BytesOfTensor(*tensor);
  std::vector<float> freqs(bytes.size() / sizeof(float));
  std::memcpy(freqs.data(), bytes.data(), bytes.size());
  for (const float freq : freqs) {
    if (!std::isfinite(freq) || freq <= 0) {
      return absl::DataLossError(absl::StrCat(model.FileOf(*tensor), ": tensor ", kRopeFreqs, " holds ", freq,
                                              "; every value must be finite and above 0"));
    }
  }
  return freqs;
}

// Tensors of types that are not read may be in an MTP layer only: the model is served without it.
absl::Status CheckTypes(const GgufModel& model, const ModelConfig& config) {
  for (const GgufTensor& tensor : model.tensors()) {
    if (tensor.unread_type.empty() || IsOfMtpLayer(tensor, config)) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(model.FileOf(tensor), ": tensor ", QuotedName(tensor.name), ": type ",
                     tensor.unread_type, " is not supported; these are: ", SupportedGgufTensorTypes()));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<json> ConfigJsonOf(const GgufModel& model) {
  const GgufValue* architecture = model.Find("general.architecture");
  const std::optional<std::string_view> name =
      architecture == nullptr ? std::nullopt : architecture->String();
  if (name != "deepseek2" && name != "llama" && name != "qwen2") {
    return absl::InvalidArgumentError(
        absl::StrCat(model.path(), ": general.architecture ", name ? QuotedName(*name) : "is missing",
                     name ? " is not served yet: it must be deepseek2, llama or qwen2"
                          : ": deepseek2, llama or qwen2 is required"));
  }
  return ConfigJson(model, std::string(*name)).Read();
}

absl::StatusOr<ModelConfig> ConfigOf(const GgufModel& model) {
  DR_ASSIGN_OR_RETURN(const json object, ConfigJsonOf(model));
  DR_ASSIGN_OR_RETURN(ModelConfig config,
                      ReadModelConfig(object, model.path() + ": metadata under config.json's names"));
  DR_RETURN_IF_ERROR(CheckTypes(model, config));
  if (config.has_latent_attention()) {
    config.split_kv_b = model.FindTensor("blk.0.attn_kv_b.weight") == nullptr &&
                        model.FindTensor("blk.0.attn_k_b.weight") != nullptr;
  }
  if (config.model_type == "llama") config.rope_interleave = true;
  DR_ASSIGN_OR_RETURN(config.rope_freqs, ReadRopeFreqs(model, config));
  if (!config.rope_freqs.empty() && config.rope_scaling) {
    return absl::InvalidArgumentError(absl::StrCat(model.path(), ": YaRN and tensor ", kRopeFreqs,
                                                   " are both given: only one of them is served"));
  }
  return config;
}

absl::StatusOr<GenerationDefaults> GenerationDefaultsOf(const GgufModel& model) {
  GgufFields fields(model);
  json object = {{"temperature", OrNull(fields.Number("general.sampling.temp"))},
                 {"top_p", OrNull(fields.Number("general.sampling.top_p"))},
                 {"top_k", OrNull(fields.Integer("general.sampling.top_k"))}};
  if (!fields.ok()) return fields.status();
  return ReadGenerationConfig(object,
                              model.path() + ": general.sampling under generation_config.json's names");
}

}  // namespace deeprack::model
