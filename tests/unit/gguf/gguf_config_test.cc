#include "model/gguf/gguf_config.h"

#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/files/model_files.h"
#include "tests/unit/gguf/gguf_bytes.h"
#include "tests/unit/model/config_text.h"
#include "tests/unit/model/r1_config.h"

namespace deeprack::model {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Keys = std::vector<std::pair<std::string, std::string>>;

void Set(Keys& keys, const std::string& name, const std::string& typed_value) {
  for (auto& [key, value] : keys) {
    if (key == name) {
      value = typed_value;
      return;
    }
  }
  keys.emplace_back(name, typed_value);
}

void Erase(Keys& keys, const std::string& name) {
  std::erase_if(keys, [&](const auto& entry) { return entry.first == name; });
}

std::string Int(uint32_t value) { return Typed(value); }

// The metadata that llama.cpp's converter writes for R1 (its newer form: attention over the latent).
Keys R1Keys() {
  return {{"general.architecture", Typed("deepseek2")},
          {"general.type", Typed("model")},
          {"general.name", Typed("DeepSeek R1")},
          {"deepseek2.block_count", Int(61)},
          {"deepseek2.context_length", Int(163840)},
          {"deepseek2.embedding_length", Int(7168)},
          {"deepseek2.feed_forward_length", Int(18432)},
          {"deepseek2.attention.head_count", Int(128)},
          {"deepseek2.attention.head_count_kv", Int(1)},
          {"deepseek2.rope.freq_base", Typed(10000.0f)},
          {"deepseek2.attention.layer_norm_rms_epsilon", Typed(1e-6f)},
          {"deepseek2.expert_used_count", Int(8)},
          {"deepseek2.expert_group_count", Int(8)},
          {"deepseek2.expert_group_used_count", Int(4)},
          {"deepseek2.leading_dense_block_count", Int(3)},
          {"deepseek2.vocab_size", Int(129280)},
          {"deepseek2.attention.q_lora_rank", Int(1536)},
          {"deepseek2.attention.kv_lora_rank", Int(512)},
          {"deepseek2.attention.key_length", Int(576)},
          {"deepseek2.attention.value_length", Int(512)},
          {"deepseek2.attention.key_length_mla", Int(192)},
          {"deepseek2.attention.value_length_mla", Int(128)},
          {"deepseek2.expert_feed_forward_length", Int(2048)},
          {"deepseek2.expert_count", Int(256)},
          {"deepseek2.expert_shared_count", Int(1)},
          {"deepseek2.expert_weights_scale", Typed(2.5f)},
          {"deepseek2.expert_weights_norm", Typed(true)},
          {"deepseek2.expert_gating_func", Int(2)},
          {"deepseek2.rope.dimension_count", Int(64)},
          {"deepseek2.rope.scaling.type", Typed("yarn")},
          {"deepseek2.rope.scaling.factor", Typed(40.0f)},
          {"deepseek2.rope.scaling.original_context_length", Int(4096)},
          {"deepseek2.rope.scaling.yarn_log_multiplier", Typed(0.1f)},
          {"tokenizer.ggml.bos_token_id", Int(0)},
          {"tokenizer.ggml.eos_token_id", Int(1)}};
}

Keys LlamaKeys() {
  return {{"general.architecture", Typed("llama")},
          {"llama.block_count", Int(2)},
          {"llama.context_length", Int(512)},
          {"llama.embedding_length", Int(32)},
          {"llama.feed_forward_length", Int(48)},
          {"llama.attention.head_count", Int(4)},
          {"llama.attention.head_count_kv", Int(2)},
          {"llama.rope.freq_base", Typed(500000.0f)},
          {"llama.attention.layer_norm_rms_epsilon", Typed(1e-5f)},
          {"llama.vocab_size", Int(64)},
          {"llama.rope.dimension_count", Int(8)},
          {"tokenizer.ggml.bos_token_id", Int(0)},
          {"tokenizer.ggml.eos_token_id", Int(1)}};
}

class GgufConfigTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "/gguf_XXXXXX";
    folder_ = mkdtemp(pattern.data());
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string Write(const Keys& keys, const std::function<void(GgufBytes&)>& add_tensors) {
    GgufBytes file;
    for (const auto& [key, value] : keys) file.Key(key, value);
    add_tensors(file);
    const std::string path = folder_ + "/model.gguf";
    file.Write(path);
    return path;
  }

  // The config of a file with these keys and with an output head as its only tensor.
  absl::StatusOr<ModelConfig> Config(const Keys& keys) {
    return LoadModelConfig(
        Write(keys, [](GgufBytes& file) { file.Tensor("output.weight", {1}, 0, "head"); }));
  }

  std::string Fault(const Keys& keys, absl::StatusCode code = absl::StatusCode::kInvalidArgument) {
    const auto config = Config(keys);
    EXPECT_EQ(config.status().code(), code) << config.status();
    EXPECT_THAT(std::string(config.status().message()), HasSubstr("model.gguf: "));
    return std::string(config.status().message());
  }

  std::string folder_;
};

// R1's config.json without the keys that a GGUF expresses in other ways: fp8 blocks, the MTP layer.
ModelConfig R1WithoutQuantization() {
  auto json = R1Json();
  json.erase("quantization_config");
  json["num_nextn_predict_layers"] = 0;
  return MustParse(json);
}

TEST_F(GgufConfigTest, R1IsAsItsConfigJsonSays) {
  const auto config = Config(R1Keys());
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(ConfigText(*config), ConfigText(R1WithoutQuantization()));
}

TEST_F(GgufConfigTest, OlderFilesOfR1SayTheSame) {
  Keys keys = R1Keys();
  Set(keys, "deepseek2.attention.head_count_kv", Int(128));
  Set(keys, "deepseek2.attention.key_length", Int(192));
  Set(keys, "deepseek2.attention.value_length", Int(128));
  for (const char* key : {"attention.key_length_mla", "attention.value_length_mla", "expert_group_count",
                          "expert_group_used_count"}) {
    Erase(keys, std::string("deepseek2.") + key);
  }
  const auto config = Config(keys);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(ConfigText(*config), ConfigText(R1WithoutQuantization()));
}

TEST_F(GgufConfigTest, OtherModelsWithoutGroupsHaveOne) {
  Keys keys = R1Keys();
  Erase(keys, "deepseek2.expert_group_count");
  Erase(keys, "deepseek2.expert_group_used_count");
  Set(keys, "deepseek2.expert_count", Int(384));
  const auto config = Config(keys);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->n_group, 1);
  EXPECT_EQ(config->topk_group, 1);
}

TEST_F(GgufConfigTest, TheLastBlocksAreMtpLayers) {
  Keys keys = R1Keys();
  Set(keys, "deepseek2.block_count", Int(62));
  Set(keys, "deepseek2.nextn_predict_layers", Int(1));
  const auto config = Config(keys);
  ASSERT_TRUE(config.ok()) << config.status();
  ModelConfig expected = R1WithoutQuantization();
  expected.num_nextn_predict_layers = 1;
  EXPECT_EQ(ConfigText(*config), ConfigText(expected));
  Set(keys, "deepseek2.nextn_predict_layers", Int(63));
  EXPECT_THAT(Fault(keys), HasSubstr("nextn_predict_layers 63 of block_count 62"));
}

TEST_F(GgufConfigTest, TensorsSayWhatKeysDoNot) {
  const auto config_with = [&](const std::vector<std::string>& names) {
    const auto config = LoadModelConfig(Write(R1Keys(), [&](GgufBytes& file) {
      for (const std::string& name : names) file.Tensor(name, {1}, 0, "data");
    }));
    EXPECT_TRUE(config.ok()) << config.status();
    return *config;
  };
  EXPECT_TRUE(config_with({}).tie_word_embeddings);
  EXPECT_FALSE(config_with({"output.weight"}).tie_word_embeddings);
  EXPECT_FALSE(config_with({"blk.0.attn_kv_b.weight"}).split_kv_b);
  EXPECT_TRUE(config_with({"blk.0.attn_k_b.weight", "blk.0.attn_v_b.weight"}).split_kv_b);
  EXPECT_FALSE(config_with({"blk.0.attn_kv_b.weight", "blk.0.attn_k_b.weight"}).split_kv_b);
}

TEST_F(GgufConfigTest, VocabularyIsTheEmbeddingsWhereNoKeySays) {
  Keys keys = LlamaKeys();
  Erase(keys, "llama.vocab_size");
  const auto config = LoadModelConfig(Write(keys, [](GgufBytes& file) {
    file.Tensor("token_embd.weight", {32, 48}, 0, std::string(32 * 48 * 4, 'e'));
  }));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->vocab_size, 48);
}

TEST_F(GgufConfigTest, LlamaHasItsRowsInPairsAndItsFrequenciesAsATensor) {
  const auto with_freqs = [&](const std::vector<float>& freqs) {
    return LoadModelConfig(Write(LlamaKeys(), [&](GgufBytes& file) {
      std::string bytes;
      for (const float freq : freqs) bytes += Raw(freq);
      file.Tensor("rope_freqs.weight", {static_cast<int64_t>(freqs.size())}, 0, bytes);
    }));
  };
  const auto config = with_freqs({1, 1, 2.5f, 8});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->model_type, "llama");
  EXPECT_TRUE(config->rope_interleave);
  EXPECT_FALSE(config->llama3_rope_scaling.has_value());
  EXPECT_THAT(config->rope_freqs, ElementsAre(1, 1, 2.5f, 8));
  EXPECT_EQ(config->rms_norm_eps, 1e-5);
  EXPECT_EQ(config->v_head_dim, 8);

  for (const auto& wrong : {std::vector<float>{1, 1, 1}, std::vector<float>{1, 1, 0, 1},
                            std::vector<float>{1, 1, INFINITY, 1}, std::vector<float>{1, -1, 1, 1}}) {
    const auto refused = with_freqs(wrong);
    EXPECT_TRUE(absl::IsDataLoss(refused.status())) << refused.status();
    EXPECT_THAT(std::string(refused.status().message()), HasSubstr("rope_freqs.weight"));
  }
}

TEST_F(GgufConfigTest, Qwen2HasItsRowsInHalves) {
  Keys keys = LlamaKeys();
  for (auto& [key, value] : keys) {
    if (key.starts_with("llama.")) key.replace(0, 5, "qwen2");
  }
  Set(keys, "general.architecture", Typed("qwen2"));
  const auto config = Config(keys);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->model_type, "qwen2");
  EXPECT_FALSE(config->rope_interleave);
  EXPECT_TRUE(config->attention_bias);
}

TEST_F(GgufConfigTest, SeveralTokensMayEndAText) {
  Keys keys = LlamaKeys();
  Set(keys, "tokenizer.ggml.eot_token_id", Int(7));
  Set(keys, "tokenizer.ggml.eom_token_id", Int(1));
  const auto config = Config(keys);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_THAT(config->eos_token_id, ElementsAre(1, 7));
}

TEST_F(GgufConfigTest, OneValueForAllLayersMayBeAnArray) {
  Keys keys = LlamaKeys();
  Set(keys, "llama.feed_forward_length", TypedIntegers<uint32_t>({48, 48}));
  EXPECT_TRUE(Config(keys).ok());
  Set(keys, "llama.feed_forward_length", TypedIntegers<uint32_t>({48, 40}));
  EXPECT_THAT(Fault(keys), HasSubstr("llama.feed_forward_length must be one integer for all layers"));
}

struct Refusal {
  std::string key;
  std::string value;  // empty: the key is absent
  std::string message;
};

TEST_F(GgufConfigTest, RefusesByNameWhatItDoesNotCompute) {
  const std::vector<Refusal> refusals = {
      {"general.architecture", Typed("gpt2"), "\"gpt2\" is not served yet: it must be deepseek2, llama or qwen2"},
      {"general.architecture", "", "general.architecture is missing"},
      {"general.architecture", Int(3), "general.architecture is missing"},
      {"general.type", Typed("adapter"), "adapter"},
      {"deepseek2.block_count", Typed("61"), "deepseek2.block_count must be an integer"},
      {"deepseek2.block_count", Int(0), "num_hidden_layers must be an integer from 1"},
      {"deepseek2.block_count", "", "num_hidden_layers"},
      {"deepseek2.context_length", "", "max_position_embeddings is missing"},
      {"deepseek2.expert_gating_func", Int(1), "softmax"},
      {"deepseek2.expert_gating_func", Int(9), "expert_gating_func 9"},
      {"deepseek2.expert_gating_func", "", "softmax"},
      {"deepseek2.expert_weights_norm", Int(1), "expert_weights_norm must be true or false"},
      {"deepseek2.attention.head_count_kv", Int(8), "attention.head_count_kv 8"},
      {"deepseek2.attention.key_length_mla", Int(64), "qk_nope_head_dim"},
      {"deepseek2.rope.dimension_count", Typed(GgufType::kInt64, Raw<int64_t>(INT64_MIN)),
       "qk_nope_head_dim"},
      {"deepseek2.rope.scaling.type", Typed("linear"), "\"linear\" is not served yet: it must be yarn"},
      {"deepseek2.rope.scaling.type", "", "rope.scaling.factor 40 without"},
      {"deepseek2.rope.scaling.factor", Typed(0.5f), "factor must be a number from 1"},
      {"deepseek2.rope.scaling.factor", Typed(NAN), "factor must be a number from 1"},
      {"deepseek2.rope.scaling.attn_factor", Typed(1.2f), "attn_factor 1.2 is not served: it must be 1"},
      {"deepseek2.rope.scale_linear", Typed(2.0f), "scale_linear 2"},
      {"deepseek2.attention.causal", Typed(false), "attention.causal"},
      {"deepseek2.attention.sliding_window", Int(4096), "attention.sliding_window 4096"},
      {"deepseek2.attention.temperature_scale", Typed(0.1f),
       "\"deepseek2.attention.temperature_scale\" is not known"},
      {"tokenizer.ggml.eos_token_id", Int(200000), "eos_token_id"},
  };
  for (const Refusal& refusal : refusals) {
    Keys keys = R1Keys();
    if (refusal.value.empty()) {
      Erase(keys, refusal.key);
    } else {
      Set(keys, refusal.key, refusal.value);
    }
    EXPECT_THAT(Fault(keys), HasSubstr(refusal.message)) << refusal.key;
  }
  Keys keys = LlamaKeys();
  Set(keys, "llama.expert_count", Int(8));
  EXPECT_THAT(Fault(keys), HasSubstr("llama.expert_count 8"));
  keys = LlamaKeys();
  Set(keys, "llama.attention.value_length", Int(16));
  EXPECT_THAT(Fault(keys), HasSubstr("llama.rope.dimension_count 8"));
}

TEST_F(GgufConfigTest, SamplingDefaultsAreTheFiles) {
  Keys keys = R1Keys();
  Set(keys, "general.sampling.temp", Typed(0.6f));
  Set(keys, "general.sampling.top_p", Typed(0.95f));
  Set(keys, "general.sampling.top_k", Typed(GgufType::kInt32, Raw<int32_t>(20)));
  const std::string path = Write(keys, [](GgufBytes&) {});
  const auto defaults = LoadGenerationDefaults(path);
  ASSERT_TRUE(defaults.ok()) << defaults.status();
  EXPECT_EQ(defaults->temperature, 0.6f);
  EXPECT_EQ(defaults->top_p, 0.95f);
  EXPECT_EQ(defaults->top_k, 20);
  EXPECT_EQ(LoadGenerationDefaults(Write(R1Keys(), [](GgufBytes&) {}))->temperature, 1);
  Set(keys, "general.sampling.temp", Typed(-1.0f));
  EXPECT_TRUE(absl::IsInvalidArgument(LoadGenerationDefaults(Write(keys, [](GgufBytes&) {})).status()));
}

TEST_F(GgufConfigTest, PathsThatAreNoModelSaySo) {
  const auto message = [](const std::string& path) {
    const auto config = LoadModelConfig(path);
    EXPECT_TRUE(absl::IsNotFound(config.status())) << config.status();
    return std::string(config.status().message());
  };
  EXPECT_THAT(message(folder_ + "/absent"), AllOf(HasSubstr("absent: no such folder"), HasSubstr(".gguf")));
  EXPECT_THAT(message(folder_ + "/absent.gguf"), HasSubstr("absent.gguf: cannot open"));
  EXPECT_THAT(message(folder_), HasSubstr("config.json: cannot be read; is this a model folder?"));
  Write(R1Keys(), [](GgufBytes&) {});
  EXPECT_THAT(message(folder_), HasSubstr("give one by name, such as " + folder_ + "/model.gguf"));
}

TEST_F(GgufConfigTest, NamesOfModels) {
  EXPECT_EQ(ModelNameOf(folder_ + "/DeepSeek-R1-Q4_K_M.gguf"), "DeepSeek-R1-Q4_K_M");
  EXPECT_EQ(ModelNameOf("x/DeepSeek-R1-Q4_K_M-00001-of-00009.gguf"), "DeepSeek-R1-Q4_K_M");
  std::filesystem::create_directory(folder_ + "/DeepSeek-R1");
  EXPECT_EQ(ModelNameOf(folder_ + "/DeepSeek-R1"), "DeepSeek-R1");
}

}  // namespace
}  // namespace deeprack::model
