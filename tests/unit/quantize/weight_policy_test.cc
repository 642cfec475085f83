#include "cli/quantize/weight_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/block_formats.h"
#include "tests/unit/quantize/configs.h"

namespace deeprack::cli {
namespace {

using model::TensorKind;

DType TypeOf(const model::ModelConfig& config, TensorKind kind, QuantType type, int64_t layer = 20) {
  return WeightType(config, {.name = "", .kind = kind, .shape = {}, .role = {}, .layer = layer}, type);
}

double Bits(DType type) {
  return 8.0 * static_cast<double>(BlockBytes(type)) / static_cast<double>(BlockElements(type));
}

constexpr QuantType kAll[] = {QuantType::kF16,  QuantType::kBF16, QuantType::kQ8_0, QuantType::kQ6K,
                              QuantType::kQ5KM, QuantType::kQ5KS, QuantType::kQ4KM, QuantType::kQ4KS,
                              QuantType::kQ3KL, QuantType::kQ3KM, QuantType::kQ3KS, QuantType::kQ2K,
                              QuantType::kQ2KS};

TEST(WeightPolicy, VectorsAndRoutersStayF32) {
  for (QuantType type : kAll) {
    for (TensorKind kind :
         {TensorKind::kFinalNorm, TensorKind::kInputNorm, TensorKind::kPostAttentionNorm, TensorKind::kQANorm,
          TensorKind::kKvANorm, TensorKind::kQBias, TensorKind::kRouter, TensorKind::kRouterBias}) {
      EXPECT_EQ(TypeOf(R1Config(), kind, type), DType::kF32);
    }
  }
}

TEST(WeightPolicy, OfFolders) {
  const auto in_folder = [](const model::ModelConfig& config, const std::string& name, DType type) {
    for (const model::TensorSpec& spec : model::TensorsOf(config)) {
      if (spec.name == name) return InFolderPolicy(config, spec, type);
    }
    ADD_FAILURE() << name;
    return false;
  };
  const model::ModelConfig r1 = R1Config();
  EXPECT_TRUE(in_folder(r1, "model.layers.3.mlp.experts.7.down_proj.weight", DType::kInt4G128));
  EXPECT_FALSE(in_folder(r1, "model.layers.3.mlp.shared_experts.up_proj.weight", DType::kInt4G128));
  EXPECT_FALSE(in_folder(r1, "model.layers.0.mlp.up_proj.weight", DType::kInt4G128));
  EXPECT_FALSE(in_folder(r1, "model.layers.9.self_attn.o_proj.weight", DType::kInt4G128));
  EXPECT_TRUE(in_folder(r1, "model.layers.9.self_attn.o_proj.weight", DType::kInt8G128));
  EXPECT_TRUE(in_folder(LlamaConfig(), "model.layers.9.self_attn.o_proj.weight", DType::kInt4G128));
  for (const DType type : {DType::kInt4G128, DType::kInt8G128}) {
    EXPECT_FALSE(in_folder(r1, "lm_head.weight", type));
    EXPECT_FALSE(in_folder(r1, "model.embed_tokens.weight", type));
    EXPECT_FALSE(in_folder(r1, "model.layers.3.mlp.gate.weight", type));
    EXPECT_FALSE(in_folder(r1, "model.norm.weight", type));
  }
  model::ModelConfig narrow = LlamaConfig();
  narrow.intermediate_size = 200;
  EXPECT_FALSE(in_folder(narrow, "model.layers.0.mlp.down_proj.weight", DType::kInt4G128));
}

TEST(WeightPolicy, OfR1) {
  struct Row {
    QuantType type;
    DType expert, attention, latent, head;
  };
  for (const Row& row : {Row{QuantType::kQ2KS, DType::kQ2K, DType::kQ4K, DType::kQ8_0, DType::kQ6K},
                         Row{QuantType::kQ4KM, DType::kQ4K, DType::kQ6K, DType::kQ8_0, DType::kQ6K},
                         Row{QuantType::kQ6K, DType::kQ6K, DType::kQ8_0, DType::kQ8_0, DType::kQ8_0},
                         Row{QuantType::kBF16, DType::kBF16, DType::kBF16, DType::kBF16, DType::kBF16}}) {
    const model::ModelConfig config = R1Config();
    EXPECT_EQ(TypeOf(config, TensorKind::kExpertGate, row.type), row.expert);
    EXPECT_EQ(TypeOf(config, TensorKind::kExpertUp, row.type), row.expert);
    for (TensorKind kind :
         {TensorKind::kQAProj, TensorKind::kQBProj, TensorKind::kOProj, TensorKind::kSharedGate,
          TensorKind::kSharedDown, TensorKind::kGateProj, TensorKind::kDownProj}) {
      EXPECT_EQ(TypeOf(config, kind, row.type, 0), row.attention);
    }
    for (TensorKind kind : {TensorKind::kKvAProj, TensorKind::kKBProj, TensorKind::kVBProj}) {
      EXPECT_EQ(TypeOf(config, kind, row.type), row.latent);
    }
    EXPECT_EQ(TypeOf(config, TensorKind::kLmHead, row.type, -1), row.head);
  }
}

TEST(WeightPolicy, WhatEveryTokenPassesIsNeverNarrowerThanTheExperts) {
  const model::ModelConfig config = R1Config();
  for (QuantType type : kAll) {
    for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
      const double expert = Bits(TypeOf(config, TensorKind::kExpertGate, type, layer));
      EXPECT_GE(Bits(TypeOf(config, TensorKind::kExpertDown, type, layer)), expert);
      for (TensorKind kind : {TensorKind::kQAProj, TensorKind::kKvAProj, TensorKind::kOProj,
                              TensorKind::kSharedUp, TensorKind::kLmHead, TensorKind::kEmbedTokens}) {
        EXPECT_GE(Bits(TypeOf(config, kind, type, layer)), expert) << Name(type);
      }
    }
  }
}

TEST(WeightPolicy, WhatEveryTokenPassesIsNeverWiderInATypeOfFewerBits) {
  const model::ModelConfig config = R1Config();
  for (size_t i = 1; i < std::size(kAll); ++i) {
    for (TensorKind kind :
         {TensorKind::kQAProj, TensorKind::kKvAProj, TensorKind::kOProj, TensorKind::kSharedUp,
          TensorKind::kDownProj, TensorKind::kLmHead, TensorKind::kEmbedTokens}) {
      EXPECT_LE(Bits(TypeOf(config, kind, kAll[i], 0)), Bits(TypeOf(config, kind, kAll[i - 1], 0)))
          << Name(kAll[i]) << " after " << Name(kAll[i - 1]);
    }
  }
}

TEST(WeightPolicy, OfADenseModel) {
  const model::ModelConfig config = LlamaConfig();
  EXPECT_EQ(TypeOf(config, TensorKind::kQProj, QuantType::kQ4KM), DType::kQ4K);
  EXPECT_EQ(TypeOf(config, TensorKind::kGateProj, QuantType::kQ4KM), DType::kQ4K);
  EXPECT_EQ(TypeOf(config, TensorKind::kEmbedTokens, QuantType::kQ4KM, -1), DType::kQ4K);
  EXPECT_EQ(TypeOf(config, TensorKind::kLmHead, QuantType::kQ4KM, -1), DType::kQ6K);
  EXPECT_EQ(TypeOf(config, TensorKind::kOProj, QuantType::kQ3KL), DType::kQ5K);
  EXPECT_EQ(TypeOf(config, TensorKind::kVProj, QuantType::kQ2KS), DType::kQ4K);
  // Of 32 layers: 0 to 3, 28 to 31, and 6, 9, ... between.
  std::vector<int64_t> wider;
  for (int64_t layer = 0; layer < 32; ++layer) {
    if (TypeOf(config, TensorKind::kDownProj, QuantType::kQ4KM, layer) == DType::kQ6K) wider.push_back(layer);
  }
  EXPECT_THAT(wider, testing::ElementsAre(0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31));
  EXPECT_EQ(TypeOf(config, TensorKind::kDownProj, QuantType::kQ4KS, 3), DType::kQ5K);
  EXPECT_EQ(TypeOf(config, TensorKind::kDownProj, QuantType::kQ4KS, 4), DType::kQ4K);
  EXPECT_EQ(TypeOf(config, TensorKind::kDownProj, QuantType::kQ3KM, 1), DType::kQ5K);
  EXPECT_EQ(TypeOf(config, TensorKind::kDownProj, QuantType::kQ3KM, 2), DType::kQ4K);
}

TEST(WeightPolicy, ATiedEmbeddingIsTheHead) {
  model::ModelConfig config = LlamaConfig();
  config.tie_word_embeddings = true;
  EXPECT_EQ(TypeOf(config, TensorKind::kEmbedTokens, QuantType::kQ2K, -1), DType::kQ6K);
}

TEST(WeightPolicy, LargerTypesAreNowhereNarrower) {
  const QuantType order[] = {QuantType::kQ8_0, QuantType::kQ6K,  QuantType::kQ5KM,
                             QuantType::kQ5KS, QuantType::kQ4KM, QuantType::kQ4KS,
                             QuantType::kQ3KM, QuantType::kQ3KS, QuantType::kQ2K};
  for (const model::ModelConfig& config : {R1Config(), LlamaConfig()}) {
    for (TensorKind kind : {TensorKind::kExpertGate, TensorKind::kQProj, TensorKind::kOProj,
                            TensorKind::kLmHead, TensorKind::kEmbedTokens}) {
      double previous = 100;
      for (QuantType type : order) {
        const double bits = Bits(TypeOf(config, kind, type));
        EXPECT_LE(bits, previous) << Name(type);
        previous = bits;
      }
    }
  }
}

TEST(FitToRow, ShorterBlocksWhereLongOnesDoNotFill) {
  for (DType type : {DType::kQ2K, DType::kQ3K, DType::kQ4K, DType::kQ5K, DType::kQ6K, DType::kQ8_0}) {
    EXPECT_EQ(FitToRow(type, 512), type);
    EXPECT_EQ(FitToRow(type, 100), DType::kF16);
  }
  EXPECT_EQ(FitToRow(DType::kQ2K, 128), DType::kQ4_0);
  EXPECT_EQ(FitToRow(DType::kQ3K, 128), DType::kQ4_0);
  EXPECT_EQ(FitToRow(DType::kQ4K, 128), DType::kQ5_0);
  EXPECT_EQ(FitToRow(DType::kQ5K, 128), DType::kQ5_1);
  EXPECT_EQ(FitToRow(DType::kQ6K, 128), DType::kQ8_0);
  EXPECT_EQ(FitToRow(DType::kQ8_0, 128), DType::kQ8_0);
  for (DType type : {DType::kF32, DType::kF16, DType::kBF16}) EXPECT_EQ(FitToRow(type, 7), type);
}

}  // namespace
}  // namespace deeprack::cli
