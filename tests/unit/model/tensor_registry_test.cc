#include "model/tensors/tensor_registry.h"

#include <map>
#include <set>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/model/r1_config.h"

namespace deeprack::model {
namespace {

using ::testing::ElementsAre;

int64_t Elements(const TensorSpec& tensor) {
  int64_t elements = 1;
  for (int64_t dimension : tensor.shape) elements *= dimension;
  return elements;
}

std::map<std::string, TensorSpec> ByName(const std::vector<TensorSpec>& tensors) {
  std::map<std::string, TensorSpec> by_name;
  for (const TensorSpec& tensor : tensors) by_name[tensor.name] = tensor;
  EXPECT_EQ(by_name.size(), tensors.size()) << "a name occurs twice";
  return by_name;
}

// DeepseekV3ForCausalLM of transformers has 671,026,404,352 parameters with this config and, as buffers, 58 x
// 256 correction biases: DeepSeek's "671B". With the MTP layer's own 14B parameters: its "685B".
TEST(TensorRegistryTest, R1HasAsManyParametersAsPublished) {
  const ModelConfig config = R1();
  int64_t main = 0;
  int64_t mtp = 0;
  for (const TensorSpec& tensor : TensorsOf(config)) {
    (tensor.layer >= config.num_hidden_layers ? mtp : main) += Elements(tensor);
  }
  EXPECT_EQ(main, 671'026'404'352 + 58 * 256);
  EXPECT_NEAR(static_cast<double>(mtp), 13.5e9, 0.2e9);
}

TEST(TensorRegistryTest, NamesAndShapesOfR1) {
  const auto tensors = ByName(TensorsOf(R1()));
  const auto shape = [&](const std::string& name) { return tensors.at(name).shape; };
  EXPECT_THAT(shape("model.embed_tokens.weight"), ElementsAre(129280, 7168));
  EXPECT_THAT(shape("lm_head.weight"), ElementsAre(129280, 7168));
  EXPECT_THAT(shape("model.norm.weight"), ElementsAre(7168));
  EXPECT_THAT(shape("model.layers.0.input_layernorm.weight"), ElementsAre(7168));
  EXPECT_THAT(shape("model.layers.0.post_attention_layernorm.weight"), ElementsAre(7168));
  EXPECT_THAT(shape("model.layers.0.self_attn.q_a_proj.weight"), ElementsAre(1536, 7168));
  EXPECT_THAT(shape("model.layers.0.self_attn.q_a_layernorm.weight"), ElementsAre(1536));
  EXPECT_THAT(shape("model.layers.0.self_attn.q_b_proj.weight"), ElementsAre(24576, 1536));
  EXPECT_THAT(shape("model.layers.0.self_attn.kv_a_proj_with_mqa.weight"), ElementsAre(576, 7168));
  EXPECT_THAT(shape("model.layers.0.self_attn.kv_a_layernorm.weight"), ElementsAre(512));
  EXPECT_THAT(shape("model.layers.0.self_attn.kv_b_proj.weight"), ElementsAre(32768, 512));
  EXPECT_THAT(shape("model.layers.0.self_attn.o_proj.weight"), ElementsAre(7168, 16384));
  EXPECT_THAT(shape("model.layers.2.mlp.gate_proj.weight"), ElementsAre(18432, 7168));
  EXPECT_THAT(shape("model.layers.2.mlp.up_proj.weight"), ElementsAre(18432, 7168));
  EXPECT_THAT(shape("model.layers.2.mlp.down_proj.weight"), ElementsAre(7168, 18432));
  EXPECT_THAT(shape("model.layers.3.mlp.gate.weight"), ElementsAre(256, 7168));
  EXPECT_THAT(shape("model.layers.3.mlp.gate.e_score_correction_bias"), ElementsAre(256));
  EXPECT_THAT(shape("model.layers.60.mlp.experts.255.gate_proj.weight"), ElementsAre(2048, 7168));
  EXPECT_THAT(shape("model.layers.60.mlp.experts.255.up_proj.weight"), ElementsAre(2048, 7168));
  EXPECT_THAT(shape("model.layers.60.mlp.experts.255.down_proj.weight"), ElementsAre(7168, 2048));
  EXPECT_THAT(shape("model.layers.3.mlp.shared_experts.gate_proj.weight"), ElementsAre(2048, 7168));
  EXPECT_THAT(shape("model.layers.3.mlp.shared_experts.down_proj.weight"), ElementsAre(7168, 2048));
  EXPECT_THAT(shape("model.layers.61.embed_tokens.weight"), ElementsAre(129280, 7168));
  EXPECT_THAT(shape("model.layers.61.enorm.weight"), ElementsAre(7168));
  EXPECT_THAT(shape("model.layers.61.hnorm.weight"), ElementsAre(7168));
  EXPECT_THAT(shape("model.layers.61.eh_proj.weight"), ElementsAre(7168, 14336));
  EXPECT_THAT(shape("model.layers.61.shared_head.norm.weight"), ElementsAre(7168));
  EXPECT_THAT(shape("model.layers.61.shared_head.head.weight"), ElementsAre(129280, 7168));
  EXPECT_THAT(shape("model.layers.61.mlp.experts.0.gate_proj.weight"), ElementsAre(2048, 7168));
  EXPECT_FALSE(tensors.contains("model.layers.2.mlp.gate.weight"));
  EXPECT_FALSE(tensors.contains("model.layers.3.mlp.gate_proj.weight"));
  EXPECT_FALSE(tensors.contains("model.layers.62.input_layernorm.weight"));
}

// In R1's checkpoint the projections, and only they, have a `weight_scale_inv`.
TEST(TensorRegistryTest, ProjectionsAreQuantisedAndNothingElse) {
  for (const TensorSpec& tensor : TensorsOf(Small())) {
    const bool is_projection =
        (tensor.name.ends_with("_proj.weight") || tensor.name.ends_with("with_mqa.weight")) &&
        !tensor.name.ends_with("eh_proj.weight");
    EXPECT_EQ(tensor.quantized, is_projection) << tensor.name;
  }
}

TEST(TensorRegistryTest, ScalesStandBesideTheirWeights) {
  EXPECT_EQ(LayerTensors(R1(), 0)[1].scale_name(), "model.layers.0.self_attn.q_a_proj.weight_scale_inv");
}

TEST(TensorRegistryTest, WithoutQueryLoraThereIsOneQueryProjection) {
  auto json = SmallJson();
  json["q_lora_rank"] = nullptr;
  const auto tensors = ByName(LayerTensors(MustParse(json), 0));
  EXPECT_THAT(tensors.at("model.layers.0.self_attn.q_proj.weight").shape, ElementsAre(8 * 64, 200));
  EXPECT_FALSE(tensors.contains("model.layers.0.self_attn.q_a_proj.weight"));
  EXPECT_FALSE(tensors.contains("model.layers.0.self_attn.q_a_layernorm.weight"));
}

TEST(TensorRegistryTest, TiedEmbeddingsHaveNoHead) {
  auto json = SmallJson();
  json["tie_word_embeddings"] = true;
  EXPECT_FALSE(ByName(TopTensors(MustParse(json))).contains("lm_head.weight"));
}

TEST(TensorRegistryTest, SharedExpertsAreOneWiderFeedForwardOrNone) {
  auto json = SmallJson();
  EXPECT_THAT(
      ByName(LayerTensors(MustParse(json), 1)).at("model.layers.1.mlp.shared_experts.up_proj.weight").shape,
      ElementsAre(2 * 152, 200));
  json["n_shared_experts"] = 0;
  EXPECT_FALSE(
      ByName(LayerTensors(MustParse(json), 1)).contains("model.layers.1.mlp.shared_experts.up_proj.weight"));
}

TEST(TensorRegistryTest, LayersAndExpertsAreNumbered) {
  const ModelConfig config = Small();
  std::set<int64_t> layers;
  for (const TensorSpec& tensor : TensorsOf(config)) {
    layers.insert(tensor.layer);
    const bool is_expert = tensor.name.find(".mlp.experts.") != std::string::npos;
    EXPECT_EQ(tensor.expert >= 0, is_expert) << tensor.name;
  }
  EXPECT_THAT(layers, ElementsAre(-1, 0, 1, 2, 3));
}

}  // namespace
}  // namespace deeprack::model
