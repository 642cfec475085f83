#include "sizing/weight_manifest.h"

#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "base/weight_geometry.h"
#include "gtest/gtest.h"
#include "tests/unit/model/r1_config.h"
#include "tests/unit/sizing/rank_tensors.h"

namespace deeprack::sizing {
namespace {

using model::Layout;
using model::MustParse;
using model::R1;
using model::ShardRole;
using model::SliceFor;
using model::Small;
using model::SmallJson;
using model::TensorKind;
using model::TensorsOf;
using model::TensorSpec;

constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;

int64_t PackedWeightBytes(DType type, int64_t rows, int64_t cols, int64_t col_begin) {
  return PackedValueBytes(type, rows, cols) + PackedScaleBytes(type, rows, cols, col_begin);
}

TEST(WeightSizesTest, PackedBytesCountPanelsAndBlocks) {
  EXPECT_EQ(PackedWeightBytes(DType::kF32, 16, 10, 0), 16 * 10 * 4);
  EXPECT_EQ(PackedWeightBytes(DType::kBF16, 17, 10, 0), 32 * 10 * 2);
  EXPECT_EQ(PackedWeightBytes(DType::kBF16, 16, 1, 0), 64);  // 32 bytes, padded
  // 128 columns are one block, unless they begin inside one; 129 are two.
  EXPECT_EQ(PackedScaleBytes(DType::kF8E4M3, 16, 128, 0), 64);
  EXPECT_EQ(PackedScaleBytes(DType::kF8E4M3, 16, 128, 256), 64);
  EXPECT_EQ(PackedScaleBytes(DType::kF8E4M3, 16, 128, 1), 128);
  EXPECT_EQ(PackedScaleBytes(DType::kF8E4M3, 33, 129, 0), 3 * 2 * 64);
  EXPECT_EQ(PackedScaleBytes(DType::kBF16, 33, 129, 0), 0);
  EXPECT_EQ(PackedWeightBytes(DType::kF8E4M3, 17, 128, 127), 32 * 128 + 2 * 2 * 64);
}

// What the rank's slices take without padding, counted from the registry: each value in its stored type, each
// scale.
int64_t UnpaddedBytes(const model::ModelConfig& config, const Layout& layout, Rank rank, DType compute) {
  int64_t bytes = 0;
  for (const TensorSpec& tensor : TensorsOf(config)) {
    const auto slice = SliceFor(config, tensor, layout, rank);
    if (!slice || tensor.layer >= config.num_hidden_layers) continue;
    int64_t element = static_cast<int64_t>(SizeOf(compute));
    if (tensor.shape.size() == 1 || tensor.kind == TensorKind::kRouter) element = 4;
    if (tensor.quantized && config.quantization_config && tensor.kind != TensorKind::kKvBProj) element = 1;
    bytes += slice->rows * slice->cols * element;
  }
  return bytes;
}

TEST(WeightSizesTest, PackingCostsLittleOverTheSlices) {
  for (const Layout& layout :
       {Layout{.tp = 8, .dp = 2, .ep = 16}, Layout{.tp = 4, .dp = 2, .ep = 8, .pp = 4}}) {
    for (Rank rank : {0, layout.world_size() - 1}) {
      const auto unpadded = static_cast<double>(UnpaddedBytes(R1(), layout, rank, DType::kBF16));
      const auto packed = static_cast<double>(WeightBytes(R1(), layout, rank, DType::kBF16));
      EXPECT_GE(packed, unpadded);
      // fp8's scales are per row here: 4 bytes for 128 values, 3.1%.
      EXPECT_LE(packed, unpadded * 1.035);
    }
  }
}

TEST(WeightSizesTest, R1OnSixteenRanksTakesItsShare) {
  const Layout layout = {.tp = 8, .dp = 2, .ep = 16};
  for (Rank rank = 0; rank < layout.world_size(); ++rank) {
    const double gib = static_cast<double>(WeightBytes(R1(), layout, rank, DType::kBF16)) / kGiB;
    EXPECT_GT(gib, 40);  // 653 GB of experts over 16 ranks are 38 GiB; attention and the rest come on top
    EXPECT_LT(gib, 46);
  }
}

TEST(WeightSizesTest, AllRanksTogetherHoldWhatOneRankHolds) {
  // With tp only and sizes that divide, nothing but replicated tensors and padding is held twice.
  const model::ModelConfig config = R1();
  const Layout layout = {.tp = 8, .ep = 8};
  int64_t split = 0;
  for (Rank rank = 0; rank < 8; ++rank) {
    for (const PackedTensor& tensor : PackedTensorsOf(config, layout, rank, DType::kBF16)) {
      if (tensor.parts[0].tensor.role != ShardRole::kReplicated) split += tensor.bytes();
    }
  }
  int64_t whole = 0;
  for (const PackedTensor& tensor : PackedTensorsOf(config, Layout{}, 0, DType::kBF16)) {
    if (tensor.parts[0].tensor.role != ShardRole::kReplicated) whole += tensor.bytes();
  }
  EXPECT_EQ(split, whole);
}

class PackedTensorsTest : public ::testing::TestWithParam<DType> {};

TEST_P(PackedTensorsTest, EveryTensorOfTheRankIsPackedOnce) {
  const model::ModelConfig config = Small();
  for (const Layout& layout :
       {Layout{}, Layout{.tp = 4, .dp = 2, .ep = 2, .pp = 2}, Layout{.tp = 2, .ep = 1}}) {
    for (Rank rank = 0; rank < layout.world_size(); ++rank) {
      std::map<std::string, int> parts;
      for (const PackedTensor& tensor : PackedTensorsOf(config, layout, rank, GetParam())) {
        EXPECT_EQ(tensor.value_bytes % kWeightAlignment, 0);
        EXPECT_EQ(tensor.scale_bytes % kWeightAlignment, 0);
        EXPECT_GT(tensor.bytes(), 0);
        for (const WeightPart& part : tensor.parts) {
          EXPECT_EQ(part.slice, *SliceFor(config, part.tensor, layout, rank));
          ++parts[part.tensor.name];
        }
      }
      for (const TensorSpec& tensor : TensorsOf(config)) {
        const bool held = tensor.layer < config.num_hidden_layers && SliceFor(config, tensor, layout, rank);
        const int expected = !held ? 0 : tensor.kind == TensorKind::kKvBProj ? 2 : 1;
        EXPECT_EQ(parts[tensor.name], expected) << tensor.name << " " << ToString(layout) << " rank " << rank;
      }
    }
  }
}

// The MTP layer's weights follow all others on the ranks of the last stage. Its copies of embedding and head
// are not held. The model's embedding is held there too.
TEST_P(PackedTensorsTest, TheLastStageHoldsTheMtpLayer) {
  const model::ModelConfig config = Small();
  for (const Layout& layout :
       {Layout{}, Layout{.tp = 4, .dp = 2, .ep = 2, .pp = 2}, Layout{.tp = 2, .ep = 1}}) {
    for (Rank rank = 0; rank < layout.world_size(); ++rank) {
      SCOPED_TRACE(ToString(layout) + " rank " + std::to_string(rank));
      RankSpec spec = {.config = config, .layout = layout, .rank = rank, .compute = GetParam()};
      const WeightManifest without = ManifestOf(spec, {});
      spec.speculative_tokens = 1;
      const WeightManifest with = ManifestOf(spec, {});
      if (!spec.is_last_stage()) {
        EXPECT_EQ(with.bytes, without.bytes);
        continue;
      }
      ASSERT_GT(with.tensors.size(), without.tensors.size());
      for (size_t i = 0; i < without.tensors.size(); ++i) {
        EXPECT_EQ(with.tensors[i].offset, without.tensors[i].offset);
        EXPECT_EQ(with.tensors[i].parts[0].tensor.name, without.tensors[i].parts[0].tensor.name);
      }
      std::map<std::string, int> parts;
      for (size_t i = without.tensors.size(); i < with.tensors.size(); ++i) {
        for (const WeightPart& part : with.tensors[i].parts) ++parts[part.tensor.name];
      }
      EXPECT_EQ(parts["model.embed_tokens.weight"], layout.pp > 1 ? 1 : 0);
      for (const TensorSpec& tensor : model::LayerTensors(config, config.num_hidden_layers)) {
        const bool held = SliceFor(config, tensor, layout, rank).has_value() &&
                          tensor.kind != TensorKind::kMtpEmbedTokens && tensor.kind != TensorKind::kMtpHead;
        EXPECT_EQ(parts[tensor.name], !held ? 0 : tensor.kind == TensorKind::kKvBProj ? 2 : 1) << tensor.name;
      }
      EXPECT_EQ(with.tensors.back().offset + with.tensors.back().bytes(), with.bytes);
    }
  }
}

TEST_P(PackedTensorsTest, TypesFollowTheComputeType) {
  const DType compute = GetParam();
  for (const PackedTensor& tensor : PackedTensorsOf(Small(), Layout{}, 0, compute)) {
    switch (tensor.form) {
      case WeightForm::kVector:
        EXPECT_EQ(tensor.type, DType::kF32);
        break;
      case WeightForm::kTable:
      case WeightForm::kAbsorbedKey:
      case WeightForm::kAbsorbedValue:
        EXPECT_EQ(tensor.type, compute);
        break;
      case WeightForm::kPacked:
        if (tensor.kind == TensorKind::kRouter) {
          EXPECT_EQ(tensor.type, DType::kF32);
        } else {
          EXPECT_EQ(tensor.type, tensor.kind == TensorKind::kLmHead ? compute : DType::kF8E4M3);
        }
        break;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Compute, PackedTensorsTest, ::testing::Values(DType::kBF16, DType::kF32));

std::vector<PackedTensor> OfKind(const std::vector<PackedTensor>& tensors, TensorKind kind, int64_t layer) {
  std::vector<PackedTensor> found;
  for (const PackedTensor& tensor : tensors) {
    if (tensor.kind == kind && tensor.layer == layer) found.push_back(tensor);
  }
  return found;
}

TEST(WeightSizesTest, GateAndUpAreStackedAtPanelBoundaries) {
  const auto tensors = PackedTensorsOf(Small(), Layout{.tp = 4, .ep = 4}, 1, DType::kBF16);
  const auto dense = OfKind(tensors, TensorKind::kGateProj, 0);
  ASSERT_EQ(dense.size(), 1u);
  EXPECT_EQ(dense[0].rows, 96 + 86);  // 344 / 4 = 86 rows of gate, padded to 96, and as many of up
  EXPECT_EQ(dense[0].cols, 200);
  ASSERT_EQ(dense[0].parts.size(), 2u);
  EXPECT_EQ(dense[0].parts[0].first_row, 0);
  EXPECT_EQ(dense[0].parts[1].first_row, 96);
  EXPECT_EQ(dense[0].parts[1].tensor.kind, TensorKind::kUpProj);
  EXPECT_EQ(dense[0].value_bytes, 192 * 200);
  EXPECT_EQ(dense[0].scale_bytes, 12 * 2 * 64);
  EXPECT_TRUE(OfKind(tensors, TensorKind::kUpProj, 0).empty());
  EXPECT_EQ(OfKind(tensors, TensorKind::kExpertGate, 1).size(), 3u);
}

TEST(WeightSizesTest, KvBIsHeldPerHeadInBothForms) {
  const auto forms =
      OfKind(PackedTensorsOf(Small(), Layout{.tp = 4, .ep = 4}, 1, DType::kF32), TensorKind::kKvBProj, 2);
  ASSERT_EQ(forms.size(), 2u);
  EXPECT_EQ(forms[0].form, WeightForm::kAbsorbedKey);
  EXPECT_EQ(std::tuple(forms[0].count, forms[0].rows, forms[0].cols), std::tuple(2, 136, 40));
  EXPECT_EQ(forms[0].bytes(), 2 * 144 * 40 * 4);
  EXPECT_EQ(forms[1].form, WeightForm::kAbsorbedValue);
  EXPECT_EQ(std::tuple(forms[1].count, forms[1].rows, forms[1].cols), std::tuple(2, 40, 136));
  EXPECT_EQ(forms[1].bytes(), 2 * 48 * 136 * 4);
}

TEST(WeightSizesTest, ATiedHeadIsMadeOfTheEmbedding) {
  auto json = SmallJson();
  json["tie_word_embeddings"] = true;
  const model::ModelConfig config = MustParse(json);
  const auto single = PackedTensorsOf(config, Layout{}, 0, DType::kBF16);
  EXPECT_EQ(OfKind(single, TensorKind::kEmbedTokens, -1).size(), 1u);
  ASSERT_EQ(OfKind(single, TensorKind::kLmHead, -1).size(), 1u);
  EXPECT_EQ(OfKind(single, TensorKind::kLmHead, -1)[0].parts[0].tensor.kind, TensorKind::kEmbedTokens);
  EXPECT_EQ(OfKind(single, TensorKind::kLmHead, -1)[0].form, WeightForm::kPacked);

  const auto last = PackedTensorsOf(config, Layout{.pp = 2}, 1, DType::kBF16);
  EXPECT_TRUE(OfKind(last, TensorKind::kEmbedTokens, -1).empty());
  EXPECT_EQ(OfKind(last, TensorKind::kLmHead, -1).size(), 1u);
}

}  // namespace
}  // namespace deeprack::sizing
