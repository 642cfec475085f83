// What packing writes is as large as the sizes say, and what lies row-major or in tiles is what kernels read.
#include <map>
#include <vector>

#include "base/block_formats.h"
#include "base/checked.h"
#include "base/weight_geometry.h"
#include "gtest/gtest.h"
#include "kernels/api/weight_packing.h"
#include "kernels/cuda/sm90/weight.h"
#include "sizing/weight_manifest.h"
#include "tests/unit/model/r1_config.h"
#include "tests/unit/sizing/rank_tensors.h"

namespace deeprack::sizing {
namespace {

using model::Layout;
using model::ModelConfig;
using model::R1;
using model::TensorKind;
using model::TensorSpec;
using model::TensorTypes;

// One more than the last byte that `pack` writes: of two areas that differ everywhere before, the last byte
// that is equal after.
template <class Pack>
int64_t WrittenBytes(int64_t bytes, const Pack& pack) {
  std::vector<std::byte> one(static_cast<size_t>(bytes), std::byte{0x00});
  std::vector<std::byte> other(static_cast<size_t>(bytes), std::byte{0xff});
  pack(one.data());
  pack(other.data());
  int64_t end = bytes;
  while (end > 0 && one[end - 1] != other[end - 1]) --end;
  return end;
}

// Values and scales of [rows, cols] from column `col_begin` of a tensor of zeros, as PackRows writes them.
void ExpectWrittenInFull(DType type, int64_t rows, int64_t cols, int64_t col_begin) {
  const int64_t all_cols = RoundUp(col_begin + cols, kScaleBlock);
  const std::vector<std::byte> zeros(static_cast<size_t>(BytesOf(type, rows * all_cols)));
  const std::vector<float> source_scales(
      static_cast<size_t>(CeilDiv(rows, kScaleBlock) * all_cols / kScaleBlock));
  const kernels::SourceMatrix source = {.data = zeros.data(),
                                        .row_stride = all_cols,
                                        .type = type,
                                        .rows = rows,
                                        .cols = cols,
                                        .scales = source_scales.data(),
                                        .scale_cols = all_cols / kScaleBlock,
                                        .col_begin = col_begin};
  constexpr int64_t kRoom = 1 << 10;
  const int64_t value_bytes = PackedValueBytes(type, rows, cols);
  const int64_t scale_bytes = PackedScaleBytes(type, rows, cols, col_begin);
  std::vector<std::byte> values(static_cast<size_t>(value_bytes + kRoom));
  std::vector<float> scales(static_cast<size_t>(scale_bytes + kRoom) / sizeof(float));
  const int64_t written_values = WrittenBytes(value_bytes + kRoom, [&](std::byte* to) {
    kernels::PackRows(source, {type, 0, rows, to, scales.data()});
  });
  const int64_t written_scales = WrittenBytes(scale_bytes + kRoom, [&](std::byte* to) {
    kernels::PackRows(source, {type, 0, rows, values.data(), reinterpret_cast<float*>(to)});
  });
  EXPECT_EQ(RoundUp(written_values, kWeightAlignment), value_bytes)
      << Name(type) << ", " << rows << " x " << cols << " from " << col_begin;
  EXPECT_EQ(RoundUp(written_scales, kWeightAlignment), scale_bytes)
      << Name(type) << ", " << rows << " x " << cols << " from " << col_begin;
}

TEST(PackedGeometryTest, KernelsWriteTheBytesOfAnySize) {
  for (DType type : {DType::kF32, DType::kBF16, DType::kF8E4M3}) {
    for (int64_t rows = 1; rows < 70; rows += 11) {
      for (int64_t cols = 1; cols < 600; cols += 62) {
        for (int64_t begin : {0, 1, 43, 127, 128, 200, 1023}) ExpectWrittenInFull(type, rows, cols, begin);
      }
    }
  }
}

TEST(PackedGeometryTest, KernelsWriteTheBytesOfBlockFormats) {
  for (DType type :
       {DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ8_0, DType::kQ2K, DType::kQ3K,
        DType::kQ4K, DType::kQ5K, DType::kQ6K, DType::kInt4G128, DType::kInt8G128}) {
    for (int64_t rows = 1; rows < 70; rows += 11) {
      for (int64_t blocks = 1; blocks < 7; ++blocks) {
        const int64_t cols = blocks * BlockElements(type);
        ExpectWrittenInFull(type, rows, cols, 0);
        EXPECT_EQ(PackedScaleBytes(type, rows, cols, cols), 0);
      }
    }
  }
}

// Counted by hand from R1's config: 8 ranks share the heads, and the two ranks of an expert group share each
// expert.
TEST(PackedGeometryTest, R1TakesTheBytesOfItsMatrices) {
  struct Bytes {
    int64_t values, scales;
  };
  const std::map<model::TensorKind, Bytes> meant = {
      {model::TensorKind::kQAProj, {1536 * 7168, 1536 * 56 * 4}},
      {model::TensorKind::kQBProj, {16 * 192 * 1536, 16 * 192 * 12 * 4}},
      {model::TensorKind::kKvAProj, {576 * 7168, 576 * 56 * 4}},
      {model::TensorKind::kKvBProj, {512 * 128 * 2, 0}},
      {model::TensorKind::kOProj, {7168 * 2048, 7168 * 16 * 4}},
      {model::TensorKind::kRouter, {256 * 7168 * 4, 0}},
      {model::TensorKind::kExpertGate, {2 * 1024 * 7168, 2 * 1024 * 56 * 4}},
      {model::TensorKind::kExpertDown, {7168 * 1024, 7168 * 8 * 4}},
      {model::TensorKind::kLmHead, {16160 * 7168 * 2, 0}},
  };
  for (Rank rank : {0, 5, 15}) {
    std::map<model::TensorKind, int> found;
    for (const PackedTensor& tensor :
         PackedTensorsOf(R1(), Layout{.tp = 8, .dp = 2, .ep = 8}, rank, DType::kBF16)) {
      const auto bytes = meant.find(tensor.kind);
      if (bytes == meant.end()) continue;
      ++found[tensor.kind];
      EXPECT_EQ(tensor.value_bytes, bytes->second.values) << static_cast<int>(tensor.kind);
      EXPECT_EQ(tensor.scale_bytes, bytes->second.scales) << static_cast<int>(tensor.kind);
    }
    EXPECT_EQ(found.size(), meant.size());
  }
}

constexpr RowMajorTypes kBoth = {.bf16 = true, .fp8 = true};

bool IsMatrix(const PackedTensor& tensor) {
  return tensor.form != WeightForm::kVector && tensor.form != WeightForm::kTable;
}

// Why the Hopper products could not read it, wherever its parts begin.
const char* WhyNotRows(const PackedTensor& tensor) {
  for (const WeightPart& part : tensor.parts) {
    const bool expanded = tensor.type != DType::kF8E4M3;
    const char* why =
        kernels::sm90::WhyNotRowWeight(tensor.type, tensor.rows, tensor.cols,
                                       expanded ? 0 : part.slice.row_begin, expanded ? 0 : tensor.col_begin);
    if (why != nullptr) return why;
  }
  return nullptr;
}

TEST(PackedGeometryTest, RowMajorIsWhatTheHopperProductsRead) {
  int64_t rows = 0, panels = 0;
  for (const Layout& layout : {Layout{}, Layout{.tp = 8, .ep = 8}, Layout{.tp = 16, .ep = 4},
                               Layout{.tp = 32, .ep = 2}, Layout{.tp = 128, .ep = 1}}) {
    for (const Rank rank : {0, layout.world_size() - 1}) {
      for (const PackedTensor& tensor :
           PackedTensorsOf(R1(), layout, rank, DType::kBF16, {.row_major = kBoth})) {
        if (!IsMatrix(tensor)) continue;
        const bool row_major = tensor.layout == WeightLayout::kRows;
        EXPECT_EQ(row_major, WhyNotRows(tensor) == nullptr) << tensor.parts[0].tensor.name;
        ++(row_major ? rows : panels);
        if (!row_major) continue;
        const int64_t value = static_cast<int64_t>(SizeOf(tensor.type));
        EXPECT_EQ(tensor.value_bytes, RoundUp(tensor.rows * tensor.cols * value, kWeightAlignment));
        const int64_t scales =
            tensor.type == DType::kF8E4M3 ? kernels::sm90::ScaleCount(1, tensor.rows, tensor.cols) : 0;
        EXPECT_EQ(tensor.scale_bytes, RoundUp(scales * 4, kWeightAlignment));
      }
    }
  }
  EXPECT_GT(rows, 1000);
  EXPECT_GT(panels, 1000);  // slices of a 128th part cut through scales' blocks
}

TEST(PackedGeometryTest, OnlyWantedTypesAndBf16ComputeAreRowMajor) {
  const Layout layout = {.tp = 8, .ep = 8};
  for (const PackedTensor& tensor : PackedTensorsOf(R1(), layout, 0, DType::kF32, {.row_major = kBoth}))
    EXPECT_EQ(tensor.layout, WeightLayout::kPanels);
  for (const PackedTensor& tensor :
       PackedTensorsOf(R1(), layout, 0, DType::kBF16, {.row_major = {.fp8 = true}})) {
    if (!IsMatrix(tensor)) continue;
    EXPECT_EQ(tensor.layout == WeightLayout::kRows, tensor.type == DType::kF8E4M3)
        << tensor.parts[0].tensor.name;
  }
  EXPECT_LT(WeightBytes(R1(), layout, 0, DType::kBF16, {.row_major = kBoth}),
            WeightBytes(R1(), layout, 0, DType::kBF16));
}

TEST(PackedGeometryTest, RoutersAreBf16WhereThatIsWanted) {
  for (const bool wanted : {false, true}) {
    int64_t routers = 0;
    for (const PackedTensor& tensor :
         PackedTensorsOf(R1(), Layout{}, 0, DType::kBF16, {.row_major = {.bf16 = true, .router = wanted}})) {
      if (tensor.kind != TensorKind::kRouter) continue;
      ++routers;
      EXPECT_EQ(tensor.type, wanted ? DType::kBF16 : DType::kF32);
      EXPECT_EQ(tensor.layout, wanted ? WeightLayout::kRows : WeightLayout::kPanels);
    }
    EXPECT_EQ(routers, 58);
  }
}

TEST(PackedGeometryTest, PackingWritesTheBytesOfTilesOfInt4) {
  for (int64_t rows = 1; rows < 600; rows += 13) {
    for (int64_t cols = 128; cols < 600; cols += 128) {
      const int64_t bytes = PackedValueBytes(DType::kInt4G128, rows, cols, WeightLayout::kTiles);
      const int64_t end = RoundUp(rows, kInt4TileRows);  // with the rows that pad the last tile
      const std::vector<BlockInt4G128> blocks(static_cast<size_t>(cols / 128), BlockInt4G128{});
      const int64_t written = WrittenBytes(bytes + 1024, [&](std::byte* to) {
        for (int64_t row = end - kInt4TileRows; row < end; ++row) {
          kernels::PackInt4Row(blocks.data(), row, cols, WeightLayout::kTiles, to);
        }
      });
      EXPECT_EQ(written, bytes) << rows << " x " << cols;
    }
  }
}

// R1 as int4: every slice that the Hopper products read is in tiles, and takes little more than half a byte a
// weight.
TEST(PackedGeometryTest, Int4LiesInTilesWhereSlicesSuitAndIsExpandedElsewhere) {
  TensorTypes types;
  for (const TensorSpec& tensor : model::TensorsOf(R1())) {
    if (tensor.quantized) types.Set(tensor.name, DType::kInt4G128);
  }
  ModelConfig config = R1();
  config.quantization_config.reset();
  const RowMajorTypes wanted = {.int4 = WeightLayout::kTilesForE4M3};
  int64_t tiles = 0, expanded = 0;
  for (const Layout& layout : {Layout{}, Layout{.tp = 8, .ep = 8}, Layout{.tp = 32, .ep = 2}}) {
    for (const PackedTensor& tensor : PackedTensorsOf(config, layout, 0, DType::kBF16, {types, wanted})) {
      if (tensor.form != WeightForm::kPacked || !tensor.parts[0].tensor.quantized) continue;
      const bool in_tiles = tensor.layout == WeightLayout::kTilesForE4M3;
      EXPECT_EQ(tensor.type, in_tiles ? DType::kInt4G128 : DType::kBF16);
      const bool whole = tensor.col_begin % 128 == 0 && tensor.parts.back().first_row % 128 == 0;
      EXPECT_EQ(in_tiles, whole && kernels::sm90::WhyNotRowWeight(DType::kInt4G128, tensor.rows, tensor.cols,
                                                                  0, 0) == nullptr)
          << tensor.parts[0].tensor.name;
      ++(in_tiles ? tiles : expanded);
      if (in_tiles && tensor.rows % 128 == 0) {
        EXPECT_EQ(tensor.bytes(), tensor.rows * tensor.cols / 128 * (64 + 5));
      }
    }
  }
  EXPECT_GT(tiles, 10000);
  EXPECT_GT(expanded, 100);
}

// Rows that trade places would take their scales with them.
TEST(PackedGeometryTest, Fp8RowsThatAreMovedStayPanels) {
  ModelConfig config = R1();
  config.rope_interleave = false;
  for (const PackedTensor& tensor :
       PackedTensorsOf(config, Layout{}, 0, DType::kBF16, {.row_major = kBoth})) {
    if (!IsMatrix(tensor) || tensor.type != DType::kF8E4M3) continue;
    EXPECT_EQ(tensor.layout == WeightLayout::kPanels, ReordersRopeRows(config, tensor.kind))
        << tensor.parts[0].tensor.name;
  }
}

}  // namespace
}  // namespace deeprack::sizing
