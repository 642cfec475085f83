#include "tests/unit/engine/tiny_checkpoint.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <system_error>

#include "base/checked.h"
#include "checkpoint/group_quantized/compressed_tensors_writer.h"
#include "checkpoint/safetensors_writer.h"
#include "model/tensors/tensor_registry.h"
#include "nlohmann/json.hpp"

namespace deeprack::worker::testing {
namespace {

using model::TensorKind;
using model::TensorSpec;

class Weights {
 public:
  explicit Weights(uint32_t seed) : random_(seed) {}

  TinyTensor Plain(const TensorSpec& spec, DType type) {
    TinyTensor tensor = {.name = spec.name, .type = type, .shape = spec.shape, .bytes = {}};
    const bool norm = spec.shape.size() == 1 && spec.kind != TensorKind::kRouterBias;
    const float spread = spec.kind == TensorKind::kRouterBias    ? 0.1f
                         : norm                                  ? 0.1f
                         : spec.kind == TensorKind::kEmbedTokens ? 1.0f
                                                                 : Fan(spec);
    int64_t count = 1;
    for (const int64_t dimension : spec.shape) count *= dimension;
    std::normal_distribution<float> normal(norm ? 1.0f : 0.0f, spread);
    for (int64_t i = 0; i < count; ++i) Append(tensor, normal(random_));
    return tensor;
  }

  // e4m3 values with random exponents between 2^-4 and 2^2, and their scales.
  TinyTensor Fp8(const TensorSpec& spec) {
    TinyTensor tensor = {.name = spec.name, .type = DType::kF8E4M3, .shape = spec.shape, .bytes = {}};
    for (int64_t i = 0; i < spec.shape[0] * spec.shape[1]; ++i) {
      const uint32_t bits = random_();
      const uint32_t exponent = 3 + (bits >> 8) % 6;
      tensor.bytes.push_back(static_cast<std::byte>((bits & 0x87u) | exponent << 3));
    }
    return tensor;
  }

  TinyTensor Scales(const TensorSpec& spec) {
    const std::vector<int64_t> shape = {CeilDiv(spec.shape[0], 128), CeilDiv(spec.shape[1], 128)};
    TinyTensor tensor = {.name = spec.scale_name(), .type = DType::kF32, .shape = shape, .bytes = {}};
    std::uniform_real_distribution<float> around(0.4f, 1.6f);
    for (int64_t i = 0; i < shape[0] * shape[1]; ++i) Append(tensor, around(random_) * Fan(spec));
    return tensor;
  }

 private:
  static float Fan(const TensorSpec& spec) { return 1.0f / std::sqrt(static_cast<float>(spec.shape.back())); }

  static void Append(TinyTensor& tensor, float value) {
    const bf16 half = ToBF16(value);
    const void* from = tensor.type == DType::kF32 ? static_cast<const void*>(&value) : &half;
    const size_t size = SizeOf(tensor.type);
    tensor.bytes.resize(tensor.bytes.size() + size);
    std::memcpy(tensor.bytes.data() + tensor.bytes.size() - size, from, size);
  }

  std::mt19937 random_;
};

// One folder for all checkpoints of this process, removed when the process ends.
class TemporaryFolder {
 public:
  TemporaryFolder()
      : path_(std::filesystem::path(::testing::TempDir()) / ("deeprack_engine_" + std::to_string(getpid()))) {
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  std::string New() {
    const std::filesystem::path folder = path_ / std::to_string(count_++);
    std::filesystem::create_directories(folder);
    return folder.string();
  }

 private:
  const std::filesystem::path path_;
  int count_ = 0;
};

}  // namespace

std::string TinyModel::ConfigJson() const {
  if (grouped_query) {
    nlohmann::json qwen2 = {{"model_type", "qwen2"},
                            {"hidden_size", 136},
                            {"num_hidden_layers", layers},
                            {"vocab_size", 131},
                            {"max_position_embeddings", 512},
                            {"rms_norm_eps", 1e-6},
                            {"rope_theta", 10000},
                            {"tie_word_embeddings", tie_word_embeddings},
                            {"hidden_act", "silu"},
                            {"num_attention_heads", 8},
                            {"num_key_value_heads", 2},
                            {"head_dim", 18},
                            {"intermediate_size", 200},
                            {"bos_token_id", 0},
                            {"eos_token_id", 1}};
    if (fp8) {
      qwen2["quantization_config"] = {{"quant_method", "fp8"},
                                      {"fmt", "e4m3"},
                                      {"activation_scheme", "dynamic"},
                                      {"weight_block_size", {128, 128}}};
    }
    return qwen2.dump(2);
  }
  nlohmann::json config = {{"architectures", {"DeepseekV3ForCausalLM"}},
                           {"model_type", "deepseek_v3"},
                           {"hidden_size", 136},
                           {"num_hidden_layers", layers},
                           {"vocab_size", 131},
                           {"max_position_embeddings", 512},
                           {"rms_norm_eps", 1e-6},
                           {"rope_theta", 10000},
                           {"tie_word_embeddings", tie_word_embeddings},
                           {"attention_bias", false},
                           {"hidden_act", "silu"},
                           {"num_attention_heads", 4},
                           {"num_key_value_heads", 4},
                           {"q_lora_rank", nullptr},
                           {"kv_lora_rank", 40},
                           {"qk_nope_head_dim", 24},
                           {"qk_rope_head_dim", 16},
                           {"v_head_dim", 20},
                           {"intermediate_size", 200},
                           {"moe_intermediate_size", 36},
                           {"first_k_dense_replace", dense_layers},
                           {"n_routed_experts", 8},
                           {"n_shared_experts", shared_experts},
                           {"num_experts_per_tok", 3},
                           {"n_group", 4},
                           {"topk_group", 2},
                           {"norm_topk_prob", true},
                           {"routed_scaling_factor", 2.5},
                           {"scoring_func", "sigmoid"},
                           {"topk_method", "noaux_tc"},
                           {"num_nextn_predict_layers", mtp_layers},
                           {"bos_token_id", 0},
                           {"eos_token_id", 1}};
  if (q_lora) config["q_lora_rank"] = aligned ? 128 : 72;
  if (aligned) {
    config.update({{"hidden_size", 256},
                   {"vocab_size", 160},
                   {"num_attention_heads", 16},
                   {"num_key_value_heads", 16},
                   {"kv_lora_rank", 512},
                   {"qk_nope_head_dim", 64},
                   {"qk_rope_head_dim", 64},
                   {"v_head_dim", 64},
                   {"intermediate_size", 256},
                   {"moe_intermediate_size", 128},
                   {"n_routed_experts", 32},
                   {"num_experts_per_tok", 4}});
  }
  if (yarn) {
    config["rope_scaling"] = {
        {"type", "yarn"},       {"factor", 4},    {"original_max_position_embeddings", 128},
        {"beta_fast", 32},      {"beta_slow", 1}, {"mscale", 1.0},
        {"mscale_all_dim", 1.0}};
  }
  if (fp8) {
    config["quantization_config"] = {{"quant_method", "fp8"},
                                     {"fmt", "e4m3"},
                                     {"activation_scheme", "dynamic"},
                                     {"weight_block_size", {128, 128}}};
  }
  return config.dump(2);
}

model::ModelConfig TinyModel::Config() const {
  absl::StatusOr<model::ModelConfig> config = model::ParseModelConfig(ConfigJson());
  EXPECT_TRUE(config.ok()) << config.status();
  return *std::move(config);
}

void SettleRouting(TinyTensor& tensor) {
  if (tensor.name.find("e_score_correction_bias") == std::string::npos) return;
  auto* const bias = reinterpret_cast<float*>(tensor.bytes.data());
  for (size_t e = 0; e < tensor.bytes.size() / sizeof(float); ++e) bias[e] *= 100;
}

namespace {

bool IsInt4(const TensorSpec& spec) { return spec.quantized && spec.shape[1] % 128 == 0; }

void WriteInt4Checkpoint(const TinyModel& model, const Damage& damage, const std::string& folder) {
  std::vector<checkpoint::FolderTensor> stored;
  std::vector<std::string> unquantised;
  const std::vector<TensorSpec> specs = model::TensorsOf(model.Config());
  for (const TensorSpec& spec : specs) {
    const bool fp32 = spec.kind == TensorKind::kRouterBias;
    const DType type = IsInt4(spec) ? DType::kInt4G128 : fp32 ? DType::kF32 : model.plain_type;
    stored.push_back({.name = spec.name, .dtype = type, .shape = spec.shape});
    if ((spec.quantized && !IsInt4(spec)) || spec.kind == TensorKind::kLmHead)
      unquantised.push_back(spec.name.substr(0, spec.name.rfind(".weight")));
  }
  auto writer = checkpoint::CompressedTensorsWriter::Create(folder, stored, {.symmetric = false});
  ASSERT_TRUE(writer.ok()) << writer.status();
  Weights weights(model.seed);
  for (size_t i = 0; i < specs.size(); ++i) {
    TinyTensor tensor = weights.Plain(specs[i], DType::kF32);
    if (damage) damage(tensor);
    const int64_t rows = specs[i].shape.size() > 1 ? specs[i].shape[0] : 1;
    const absl::Status written =
        (*writer)->WriteRows(i, 0, rows, reinterpret_cast<const float*>(tensor.bytes.data()));
    ASSERT_TRUE(written.ok()) << written;
  }
  const absl::Status committed = (*writer)->Commit(model.ConfigJson(), unquantised);
  ASSERT_TRUE(committed.ok()) << committed;
}

}  // namespace

std::string WriteTinyCheckpoint(const TinyModel& model, const Damage& damage) {
  static TemporaryFolder checkpoints;
  const std::string folder = checkpoints.New();
  if (model.int4) {
    WriteInt4Checkpoint(model, damage, folder);
    return folder;
  }
  std::ofstream(folder + "/config.json") << model.ConfigJson();

  Weights weights(model.seed);
  std::vector<TinyTensor> tensors;
  for (const TensorSpec& spec : model::TensorsOf(model.Config())) {
    if (spec.quantized && model.fp8) {
      tensors.push_back(weights.Fp8(spec));
      tensors.push_back(weights.Scales(spec));
    } else {
      const bool fp32 = spec.kind == TensorKind::kRouterBias;
      tensors.push_back(weights.Plain(spec, fp32 ? DType::kF32 : model.plain_type));
    }
  }
  checkpoint::SafetensorsWriter writer;
  for (TinyTensor& tensor : tensors) {
    if (damage) damage(tensor);
    writer.Add(tensor.name, tensor.type, tensor.shape, tensor.bytes);
  }
  const absl::Status written = writer.Write(folder + "/model.safetensors");
  EXPECT_TRUE(written.ok()) << written;
  return folder;
}

}  // namespace deeprack::worker::testing
