#include "cli/quantize/tensor_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "absl/strings/str_cat.h"
#include "base/checked.h"
#include "tests/unit/quantize/configs.h"

namespace deeprack::cli {
namespace {

using testing::ElementsAre;

std::map<std::string, PlannedTensor> ByName(const model::ModelConfig& config, QuantType type) {
  std::map<std::string, PlannedTensor> tensors;
  for (PlannedTensor& tensor : PlanTensors(config, type)) {
    const std::string name = tensor.record.name;
    EXPECT_TRUE(tensors.emplace(name, std::move(tensor)).second) << name << " twice";
  }
  return tensors;
}

model::ModelConfig R1WithoutMtp() {
  model::ModelConfig config = R1Config();
  config.num_nextn_predict_layers = 0;
  return config;
}

// R1 in Q4_K_M: 671 billion weights, with the published sizes.
TEST(TensorPlan, OfR1) {
  const auto tensors = ByName(R1WithoutMtp(), QuantType::kQ4KM);
  int64_t parameters = 0, bytes = 0;
  for (const auto& [name, tensor] : tensors) {
    parameters += tensor.parameters();
    bytes += checkpoint::BytesOf(tensor.record);
  }
  EXPECT_EQ(parameters, 671026404352 + 58 * 256);  // the last: routers' biases
  EXPECT_NEAR(8.0 * static_cast<double>(bytes) / static_cast<double>(parameters), 4.9, 0.1);
  EXPECT_FALSE(tensors.contains("blk.61.attn_norm.weight")) << "MTP";

  const PlannedTensor& experts = tensors.at("blk.3.ffn_gate_exps.weight");
  EXPECT_THAT(experts.record.shape, ElementsAre(256, 2048, 7168));
  EXPECT_EQ(experts.record.dtype, DType::kQ4K);
  ASSERT_EQ(experts.pieces.size(), 256u);
  EXPECT_EQ(experts.pieces[255].source, "model.layers.3.mlp.experts.255.gate_proj.weight");
  EXPECT_EQ(experts.pieces[255].rows, 2048);
  EXPECT_THAT(tensors.at("blk.3.ffn_down_exps.weight").record.shape, ElementsAre(256, 7168, 2048));
  EXPECT_TRUE(tensors.contains("blk.2.ffn_gate.weight"));
  EXPECT_FALSE(tensors.contains("blk.3.ffn_gate.weight"));

  // Rows of 128 have no K-quant.
  const PlannedTensor& key = tensors.at("blk.7.attn_k_b.weight");
  EXPECT_THAT(key.record.shape, ElementsAre(128, 512, 128));
  EXPECT_EQ(key.record.dtype, DType::kQ8_0);
  ASSERT_EQ(key.pieces.size(), 128u);
  EXPECT_EQ(key.pieces[2].source, "model.layers.7.self_attn.kv_b_proj.weight");
  EXPECT_EQ(key.pieces[2].row_begin, 2 * 256);
  EXPECT_EQ(key.pieces[2].rows, 128);
  EXPECT_EQ(key.pieces[2].order, RowOrder::kTransposed);
  const PlannedTensor& value = tensors.at("blk.7.attn_v_b.weight");
  EXPECT_THAT(value.record.shape, ElementsAre(128, 128, 512));
  EXPECT_EQ(value.pieces[2].row_begin, 2 * 256 + 128);
  EXPECT_EQ(value.pieces[2].order, RowOrder::kAsStored);

  // The rope pairs of the file are neighbours already.
  EXPECT_EQ(tensors.at("blk.7.attn_q_b.weight").pieces.size(), 1u);
  EXPECT_EQ(tensors.at("blk.7.ffn_gate_inp.weight").record.dtype, DType::kF32);
  EXPECT_EQ(tensors.at("blk.7.exp_probs_b.bias").record.dtype, DType::kF32);
  EXPECT_FALSE(tensors.contains("rope_freqs.weight"));
}

// A decoder layer, the projection [7168, 2 * 7168] and three norms.
TEST(TensorPlan, OfTheMtpLayerOfR1) {
  const auto without = ByName(R1WithoutMtp(), QuantType::kQ4KM);
  const auto tensors = ByName(R1Config(), QuantType::kQ4KM);
  int64_t parameters = 0, of_last_layer = 0, others = 0;
  for (const auto& [name, tensor] : tensors) {
    if (!without.contains(name)) parameters += tensor.parameters();
    if (name.starts_with("blk.60.")) of_last_layer += tensor.parameters();
    others += without.contains(name) ? 1 : 0;
  }
  EXPECT_EQ(others, std::ssize(without));
  EXPECT_EQ(parameters, of_last_layer + 2 * 7168 * 7168 + 3 * 7168);

  const PlannedTensor& projection = tensors.at("blk.61.nextn.eh_proj.weight");
  EXPECT_THAT(projection.record.shape, ElementsAre(7168, 2 * 7168));
  EXPECT_EQ(projection.record.dtype, DType::kQ6K) << "every draft passes it";
  ASSERT_EQ(projection.pieces.size(), 1u);
  EXPECT_EQ(projection.pieces[0].source, "model.layers.61.eh_proj.weight");
  for (const char* norm : {"enorm", "hnorm", "shared_head_norm"}) {
    EXPECT_EQ(tensors.at(absl::StrCat("blk.61.nextn.", norm, ".weight")).record.dtype, DType::kF32);
  }
  EXPECT_EQ(tensors.at("blk.61.nextn.shared_head_norm.weight").pieces[0].source,
            "model.layers.61.shared_head.norm.weight");
  EXPECT_EQ(tensors.at("blk.61.ffn_gate_exps.weight").pieces.size(), 256u);
  EXPECT_EQ(tensors.at("blk.61.attn_k_b.weight").pieces[2].source,
            "model.layers.61.self_attn.kv_b_proj.weight");
  for (const char* copy : {"embed_tokens", "shared_head_head"}) {
    EXPECT_FALSE(tensors.contains(absl::StrCat("blk.61.nextn.", copy, ".weight"))) << copy;
  }
}

TEST(TensorPlan, RopeRowsOfADeepseekCheckpointInHalvesAreBroughtTogether) {
  model::ModelConfig config = R1Config();
  config.rope_interleave = false;
  const auto tensors = ByName(config, QuantType::kF16);
  const std::vector<TensorPiece>& query = tensors.at("blk.0.attn_q_b.weight").pieces;
  ASSERT_EQ(query.size(), 256u);
  EXPECT_EQ(query[2].row_begin, 192);
  EXPECT_EQ(query[2].rows, 128);
  EXPECT_EQ(query[2].order, RowOrder::kAsStored);
  EXPECT_EQ(query[3].row_begin, 192 + 128);
  EXPECT_EQ(query[3].rows, 64);
  EXPECT_EQ(query[3].order, RowOrder::kHalvesInterleaved);
  const std::vector<TensorPiece>& latent = tensors.at("blk.0.attn_kv_a_mqa.weight").pieces;
  ASSERT_EQ(latent.size(), 2u);
  EXPECT_EQ(latent[0].rows, 512);
  EXPECT_EQ(latent[1].order, RowOrder::kHalvesInterleaved);
}

TEST(TensorPlan, OfLlama) {
  const auto tensors = ByName(LlamaConfig(), QuantType::kQ4KM);
  for (const char* name : {"blk.5.attn_q.weight", "blk.5.attn_k.weight"}) {
    for (const TensorPiece& piece : tensors.at(name).pieces) {
      EXPECT_EQ(piece.rows, 128);
      EXPECT_EQ(piece.order, RowOrder::kHalvesInterleaved);
    }
  }
  EXPECT_EQ(tensors.at("blk.5.attn_k.weight").pieces.size(), 8u);
  EXPECT_EQ(tensors.at("blk.5.attn_v.weight").pieces.size(), 1u);

  // Llama 3.1's scaling: fast pairs are unchanged, slow pairs are divided by 8.
  const std::vector<float>& factors = tensors.at("rope_freqs.weight").values;
  ASSERT_EQ(factors.size(), 64u);
  EXPECT_EQ(factors.front(), 1);
  EXPECT_EQ(factors.back(), 8);
  EXPECT_NEAR(factors[30], 1.55341, 1e-5);
}

TEST(TensorPlan, OfQwen2) {
  model::ModelConfig config = LlamaConfig();
  config.model_type = "qwen2";
  config.llama3_rope_scaling.reset();
  config.attention_bias = true;
  config.tie_word_embeddings = true;
  const auto tensors = ByName(config, QuantType::kQ8_0);
  EXPECT_EQ(tensors.at("blk.5.attn_q.weight").pieces.size(), 1u) << "half a head apart there too";
  EXPECT_EQ(tensors.at("blk.5.attn_q.bias").record.dtype, DType::kF32);
  EXPECT_EQ(tensors.at("blk.5.attn_q.bias").pieces[0].rows, 1);
  EXPECT_FALSE(tensors.contains("output.weight"));
}

// The plan for a GGUF, whose kv_b is divided: rows are unchanged.
TEST(TensorPlan, OfADividedKvB) {
  model::ModelConfig config = R1Config();
  config.split_kv_b = true;
  const auto tensors = ByName(config, QuantType::kQ4KM);
  const PlannedTensor& key = tensors.at("blk.7.attn_k_b.weight");
  EXPECT_THAT(key.record.shape, ElementsAre(128, 512, 128));
  ASSERT_EQ(key.pieces.size(), 1u);
  EXPECT_EQ(key.pieces[0].source, "model.layers.7.self_attn.k_b_proj.weight");
  EXPECT_EQ(key.pieces[0].rows, 128 * 512);
  EXPECT_EQ(key.pieces[0].order, RowOrder::kAsStored);
}

}  // namespace
}  // namespace deeprack::cli
