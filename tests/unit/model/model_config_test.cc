#include "model/config/model_config.h"

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/model/r1_config.h"

namespace deeprack::model {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(ModelConfigTest, ReadsR1) {
  const ModelConfig c = R1();
  EXPECT_EQ(c.model_type, "deepseek_v3");
  EXPECT_EQ(c.hidden_size, 7168);
  EXPECT_EQ(c.num_hidden_layers, 61);
  EXPECT_EQ(c.vocab_size, 129280);
  EXPECT_EQ(c.max_position_embeddings, 163840);
  EXPECT_DOUBLE_EQ(c.rms_norm_eps, 1e-6);
  EXPECT_DOUBLE_EQ(c.rope_theta, 10000);
  EXPECT_FALSE(c.tie_word_embeddings);
  EXPECT_EQ(c.num_attention_heads, 128);
  EXPECT_EQ(c.q_lora_rank, 1536);
  EXPECT_EQ(c.kv_lora_rank, 512);
  EXPECT_EQ(c.qk_nope_head_dim, 128);
  EXPECT_EQ(c.qk_rope_head_dim, 64);
  EXPECT_EQ(c.qk_head_dim(), 192);
  EXPECT_EQ(c.v_head_dim, 128);
  EXPECT_EQ(c.intermediate_size, 18432);
  EXPECT_EQ(c.moe_intermediate_size, 2048);
  EXPECT_EQ(c.first_k_dense_replace, 3);
  EXPECT_EQ(c.n_routed_experts, 256);
  EXPECT_EQ(c.n_shared_experts, 1);
  EXPECT_EQ(c.num_experts_per_tok, 8);
  EXPECT_EQ(c.n_group, 8);
  EXPECT_EQ(c.topk_group, 4);
  EXPECT_TRUE(c.norm_topk_prob);
  EXPECT_DOUBLE_EQ(c.routed_scaling_factor, 2.5);
  EXPECT_EQ(c.num_nextn_predict_layers, 1);
  EXPECT_THAT(c.eos_token_id, ElementsAre(1));
  EXPECT_EQ(c.bos_token_id, 0);
  ASSERT_TRUE(c.quantization_config.has_value());
  EXPECT_EQ(c.quantization_config->block_rows, 128);
  EXPECT_EQ(c.quantization_config->block_cols, 128);
  ASSERT_TRUE(c.rope_scaling.has_value());
  EXPECT_DOUBLE_EQ(c.rope_scaling->factor, 40);
  EXPECT_EQ(c.rope_scaling->original_max_position_embeddings, 4096);
  EXPECT_DOUBLE_EQ(c.rope_scaling->mscale_all_dim, 1);
  EXPECT_FALSE(c.is_moe_layer(2));
  EXPECT_TRUE(c.is_moe_layer(3));
}

TEST(ModelConfigTest, AttentionScaleHasYarnsTemperature) {
  ModelConfig c = R1();
  const double m = 0.1 * std::log(40.0) + 1.0;
  EXPECT_DOUBLE_EQ(c.attention_scale(), m * m / std::sqrt(192.0));
  EXPECT_NEAR(c.attention_scale(), 0.1352337788608801, 1e-15);  // transformers' DeepseekV3Attention.scaling
  c.rope_scaling->mscale_all_dim = 0;
  EXPECT_DOUBLE_EQ(c.attention_scale(), 1 / std::sqrt(192.0));
  c.rope_scaling.reset();
  EXPECT_DOUBLE_EQ(c.attention_scale(), 1 / std::sqrt(192.0));
}

// transformers 5 writes rope_theta and rope_scaling as one object, with both keys for the type.
TEST(ModelConfigTest, ReadsRopeParameters) {
  json file = R1Json();
  file["rope_parameters"] = file["rope_scaling"];
  file["rope_parameters"]["rope_theta"] = 20000.0;
  file["rope_parameters"]["rope_type"] = "yarn";
  file.erase("rope_scaling");
  file.erase("rope_theta");
  const ModelConfig c = MustParse(file);
  EXPECT_DOUBLE_EQ(c.rope_theta, 20000);
  ASSERT_TRUE(c.rope_scaling.has_value());
  EXPECT_DOUBLE_EQ(c.rope_scaling->factor, 40);

  file["rope_parameters"] = {{"rope_theta", 500.0}, {"rope_type", "default"}};
  EXPECT_FALSE(MustParse(file).rope_scaling.has_value());
  EXPECT_DOUBLE_EQ(MustParse(file).rope_theta, 500);
}

TEST(ModelConfigTest, RefusesTwoRopeThetas) {
  json file = R1Json();
  file["rope_parameters"] = {{"rope_theta", 500.0}, {"rope_type", "default"}};
  file.erase("rope_scaling");
  const auto config = ParseModelConfig(file.dump());
  ASSERT_FALSE(config.ok());
  EXPECT_THAT(std::string(config.status().message()), HasSubstr("rope_theta"));
  file["rope_theta"] = 500;
  EXPECT_DOUBLE_EQ(MustParse(file).rope_theta, 500);
}

TEST(ModelConfigTest, ReadsRopeScalingNullAndDefault) {
  json file = R1Json();
  file["rope_scaling"] = nullptr;
  EXPECT_FALSE(MustParse(file).rope_scaling.has_value());
  file["rope_scaling"] = {{"type", "default"}};
  EXPECT_FALSE(MustParse(file).rope_scaling.has_value());
  file.erase("rope_scaling");
  EXPECT_FALSE(MustParse(file).rope_scaling.has_value());
}

TEST(ModelConfigTest, ReadsWhatVariesBetweenModels) {
  json file = R1Json();
  file["q_lora_rank"] = nullptr;
  file["eos_token_id"] = {1, 5};
  file["bos_token_id"] = nullptr;
  file["n_shared_experts"] = nullptr;
  file["tie_word_embeddings"] = true;
  file["head_dim"] = 64;
  file["qk_head_dim"] = 192;
  file["quantization_config"] = nullptr;
  file.erase("num_nextn_predict_layers");
  const ModelConfig c = MustParse(file);
  EXPECT_FALSE(c.q_lora_rank.has_value());
  EXPECT_THAT(c.eos_token_id, ElementsAre(1, 5));
  EXPECT_EQ(c.n_shared_experts, 0);
  EXPECT_TRUE(c.tie_word_embeddings);
  EXPECT_FALSE(c.quantization_config.has_value());
  EXPECT_EQ(c.num_nextn_predict_layers, 0);
}

TEST(ModelConfigTest, WithoutRoutedExpertsEveryLayerIsDense) {
  json file = R1Json();
  file["n_routed_experts"] = nullptr;
  for (const char* key : {"moe_intermediate_size", "n_group", "topk_group", "num_experts_per_tok"})
    file.erase(key);
  EXPECT_FALSE(MustParse(file).is_moe_layer(60));
}

TEST(ModelConfigTest, DenseWidthIsNotNeededWithoutDenseLayers) {
  json file = R1Json();
  file.erase("intermediate_size");
  EXPECT_FALSE(ParseModelConfig(file.dump()).ok());
  file["first_k_dense_replace"] = 0;
  EXPECT_TRUE(MustParse(file).is_moe_layer(0));
}

TEST(ModelConfigTest, RopeHalvesAreServed) {
  json file = R1Json();
  EXPECT_TRUE(MustParse(file).rope_interleave);
  file["rope_interleave"] = false;
  EXPECT_FALSE(MustParse(file).rope_interleave);
}

struct Refusal {
  std::string name;
  std::function<void(json&)> change;
  std::vector<std::string> message;  // parts of the message: the key, what was found, what is accepted
};

class RefusalTest : public ::testing::TestWithParam<Refusal> {};

TEST_P(RefusalTest, NamesKeyValueAndWhatWouldDo) {
  json file = R1Json();
  GetParam().change(file);
  const auto config = ParseModelConfig(file.dump());
  ASSERT_FALSE(config.ok());
  EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(config.status().message()), HasSubstr("config.json"));
  for (const std::string& part : GetParam().message) {
    EXPECT_THAT(std::string(config.status().message()), HasSubstr(part));
  }
}

Refusal Set(const std::string& name, const std::string& key, json value, std::vector<std::string> message) {
  return {name, [key, value](json& file) { file[json::json_pointer(key)] = value; }, std::move(message)};
}

Refusal Erase(const std::string& key) {
  return {"No_" + key, [key](json& file) { file.erase(key); }, {key, "missing"}};
}

std::string NameOf(const ::testing::TestParamInfo<Refusal>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(
    Unserved, RefusalTest,
    ::testing::Values(
        Set("Mistral", "/model_type", "mistral",
            {"model_type", "\"mistral\"", "not served yet", "deepseek_v3"}),
        Set("Kimi", "/model_type", "kimi_k2", {"kimi_k2", "deepseek_v3"}),
        Set("V32", "/model_type", "deepseek_v32", {"deepseek_v32"}),
        Set("ModelTypeNumber", "/model_type", 3, {"model_type", "3"}),
        Set("Scoring", "/scoring_func", "softmax", {"scoring_func", "softmax", "sigmoid"}),
        Set("TopkMethod", "/topk_method", "greedy", {"topk_method", "greedy", "noaux_tc"}),
        Set("Activation", "/hidden_act", "gelu", {"hidden_act", "gelu", "silu"}),
        Set("AttentionBias", "/attention_bias", true, {"attention_bias", "true", "false"}),
        Set("RopeInterleave", "/rope_interleave", "yes", {"rope_interleave", "yes"}),
        Set("MoeFrequency", "/moe_layer_freq", 2, {"moe_layer_freq", "2", "1"}),
        Set("RopeType", "/rope_scaling/type", "llama3", {"rope_scaling", "llama3", "yarn"}),
        Set("RopeTypesDiffer", "/rope_scaling/rope_type", "default", {"rope_scaling", "differ"}),
        Set("RopeBoth", "/rope_parameters", json::object({{"rope_type", "default"}}),
            {"rope_parameters", "both"}),
        Set("RopeScalingString", "/rope_scaling", "yarn", {"rope_scaling", "object"}),
        Set("PartialRotary", "/partial_rotary_factor", 0.5, {"partial_rotary_factor"}),
        Set("AttentionFactor", "/rope_scaling/attention_factor", 1.2, {"attention_factor"}),
        Set("MscaleAlone", "/rope_scaling",
            {{"type", "yarn"}, {"factor", 40}, {"mscale", 0.7}, {"original_max_position_embeddings", 4096}},
            {"mscale", "both"}),
        Set("MscaleAllDimAlone", "/rope_scaling",
            {{"type", "yarn"},
             {"factor", 40},
             {"mscale_all_dim", 1},
             {"original_max_position_embeddings", 4096}},
            {"mscale_all_dim", "both"}),
        Set("YarnFactor", "/rope_scaling/factor", 0.5, {"factor", "0.5"}),
        Set("YarnBetas", "/rope_scaling/beta_slow", 64, {"beta_fast", "beta_slow"}),
        Set("YarnTruncate", "/rope_scaling/truncate", false, {"truncate"}),
        Set("QuantMethod", "/quantization_config/quant_method", "int3",
            {"quantization_config", "int3", "fp8"}),
        Set("QuantFormat", "/quantization_config/fmt", "e5m2", {"fmt", "e5m2", "e4m3"}),
        Set("QuantActivation", "/quantization_config/activation_scheme", "static",
            {"activation_scheme", "dynamic"}),
        Set("QuantBlock", "/quantization_config/weight_block_size", {64, 128}, {"weight_block_size", "128"}),
        Set("QuantNotObject", "/quantization_config", 8, {"quantization_config", "object"}),
        Set("QuantExcept", "/quantization_config/modules_to_not_convert",
            {"lm_head", "model.layers.0.self_attn.o_proj"}, {"modules_to_not_convert", "o_proj"})),
    NameOf);

INSTANTIATE_TEST_SUITE_P(
    BadSizes, RefusalTest,
    ::testing::Values(
        Set("Zero", "/hidden_size", 0, {"hidden_size", "found 0"}),
        Set("Negative", "/num_hidden_layers", -61, {"num_hidden_layers", "-61"}),
        Set("Float", "/vocab_size", 129280.0, {"vocab_size", "integer", "129280.0"}),
        Set("Text", "/kv_lora_rank", "512", {"kv_lora_rank", "integer", "\"512\""}),
        Set("Nested", "/v_head_dim", {1, 2}, {"v_head_dim", "an array of 2"}),
        Set("Huge", "/hidden_size", int64_t{1} << 40, {"hidden_size", "1099511627776", "262144"}),
        Set("HugeUnsigned", "/num_attention_heads", UINT64_MAX,
            {"num_attention_heads", "18446744073709551615"}),
        Set("NullRequired", "/hidden_size", nullptr, {"hidden_size", "missing"}),
        Set("Epsilon", "/rms_norm_eps", 0, {"rms_norm_eps"}),
        Set("EpsilonText", "/rms_norm_eps", "1e-6", {"rms_norm_eps", "number"}),
        Set("RopeOdd", "/qk_rope_head_dim", 63, {"qk_rope_head_dim", "even", "63"}),
        Set("KeyValueHeads", "/num_key_value_heads", 8, {"num_key_value_heads", "8", "128"}),
        Set("QkHeadDim", "/qk_head_dim", 128, {"qk_head_dim", "128", "192"}),
        Set("HeadDim", "/head_dim", 56, {"head_dim", "56", "64"}),
        Set("TopkGroup", "/topk_group", 9, {"topk_group", "9", "n_group 8"}),
        Set("Groups", "/n_group", 7, {"n_routed_experts 256", "n_group 7"}),
        Set("GroupOfOne", "/n_group", 256, {"n_group 256", "two best"}),
        Set("TooManyPerToken", "/num_experts_per_tok", 129, {"num_experts_per_tok", "129", "128"}),
        Set("DenseLayers", "/first_k_dense_replace", 62, {"first_k_dense_replace", "62"}),
        Set("TooManyExperts", "/n_routed_experts", 8192, {"n_routed_experts", "8192"}),
        Set("NormTopk", "/norm_topk_prob", "yes", {"norm_topk_prob", "true or false"}),
        Set("Eos", "/eos_token_id", {1, 129280}, {"eos_token_id", "129280"}),
        Set("EosText", "/eos_token_id", "</s>", {"eos_token_id", "integer"})),
    NameOf);

INSTANTIATE_TEST_SUITE_P(
    Missing, RefusalTest,
    ::testing::Values(Erase("model_type"), Erase("hidden_size"), Erase("num_hidden_layers"),
                      Erase("vocab_size"), Erase("max_position_embeddings"), Erase("rms_norm_eps"),
                      Erase("rope_theta"), Erase("num_attention_heads"), Erase("kv_lora_rank"),
                      Erase("qk_nope_head_dim"), Erase("qk_rope_head_dim"), Erase("v_head_dim"),
                      Erase("intermediate_size"), Erase("moe_intermediate_size"),
                      Erase("num_experts_per_tok"), Erase("n_group"), Erase("topk_group"),
                      Erase("norm_topk_prob"), Erase("routed_scaling_factor")),
    NameOf);

TEST(ModelConfigTest, RefusesWhatIsNoJsonObject) {
  const std::string deep = std::string(200000, '[') + std::string(200000, ']');
  for (const std::string& text :
       {std::string(""), std::string("{"), std::string("[]"), std::string("7"),
        std::string("{\"model_type\": NaN}"), std::string("{\"model_type\": \"\xff\"}"), std::string("{} x"),
        deep, std::string(17 << 20, ' ')}) {
    const auto config = ParseModelConfig(text);
    ASSERT_FALSE(config.ok());
    EXPECT_THAT(std::string(config.status().message()), HasSubstr("config.json"));
    EXPECT_LT(config.status().message().size(), 400u);
  }
}

TEST(ModelConfigTest, RefusesNumbersBeyondDouble) {
  std::string text = kR1Config;
  text.replace(text.find("7168"), 4, "1" + std::string(400, '0'));
  EXPECT_FALSE(ParseModelConfig(text).ok());
}

// R1's file with any three bytes changed gives a config whose sizes are within the bounds, or an error.
TEST(ModelConfigTest, RandomBytes) {
  const std::string good = R1Json().dump();
  uint64_t state = 7;
  const auto draw = [&state] {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<size_t>(state >> 33);
  };
  for (int round = 0; round < 5000; ++round) {
    std::string text = good;
    for (int change = 0; change < 3; ++change)
      text[draw() % text.size()] = static_cast<char>(' ' + draw() % 95);
    const auto config = ParseModelConfig(text);
    if (!config.ok()) continue;
    EXPECT_GT(config->hidden_size, 0);
    EXPECT_LE(config->vocab_size, 1 << 24);
    EXPECT_LE(config->topk_group, config->n_group);
    EXPECT_TRUE(std::isfinite(config->attention_scale()));
  }
}

// A deeply nested value in place of a number must not be printed in the message.
TEST(ModelConfigTest, RefusesADeepValueWithoutFollowingIt) {
  std::string text = kR1Config;
  text.replace(text.find("7168"), 4, std::string(200000, '[') + std::string(200000, ']'));
  const auto config = ParseModelConfig(text);
  ASSERT_FALSE(config.ok());
  EXPECT_THAT(std::string(config.status().message()), HasSubstr("hidden_size"));
}

}  // namespace
}  // namespace deeprack::model
