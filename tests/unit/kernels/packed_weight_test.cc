#include "kernels/api/packed_weight.h"

#include "kernels/api/weight_packing.h"
#include "tests/unit/kernels/block_weights.h"

namespace deeprack::kernels {
namespace {

void ExpectPacked(const TestTensor& tensor, int64_t row_begin, int64_t col_begin, const PackedWeight& weight,
                  int64_t first_row, int64_t rows) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t k = 0; k < weight.k; ++k) {
      double expected = tensor.at(row_begin + r, col_begin + k);
      if (weight.type == DType::kBF16) expected = ToFloat(ToBF16(static_cast<float>(expected)));
      if (weight.type == DType::kF32) expected = static_cast<float>(expected);
      ASSERT_EQ(reference::Get(weight, first_row + r, k), expected)
          << "row " << first_row + r << " column " << k;
    }
  }
}

TEST(PackedWeight, KeepsValuesOfSlicesThatCutScaleBlocks) {
  Random random(1);
  for (DType type : {DType::kF32, DType::kBF16, DType::kF8E4M3}) {
    const TestTensor tensor(type, 300, 400, random);
    for (int64_t col_begin : {0, 37, 128, 200}) {
      for (int64_t n : {1, 16, 57, 150}) {
        const int64_t k = 170;
        TestWeight weight(type, n, k, col_begin);
        PackRows(tensor.Slice(101, n, col_begin, k), {type, 0, n, weight.values(), weight.ScaleData()});
        ExpectPacked(tensor, 101, col_begin, weight.packed(), 0, n);
      }
    }
  }
}

TEST(PackedWeight, ZeroesRowsPastTheLast) {
  Random random(2);
  const TestTensor tensor(DType::kF8E4M3, 20, 40, random);
  TestWeight weight(DType::kF8E4M3, 20, 40);
  PackRows(tensor.Slice(0, 20, 0, 40), {DType::kF8E4M3, 0, 20, weight.values(), weight.ScaleData()});
  for (int64_t n = 20; n < 32; ++n) {
    for (int64_t k = 0; k < 40; ++k) EXPECT_EQ(reference::Get(weight.packed(), n, k), 0.0);
  }
}

TEST(PackedWeight, StacksSources) {
  Random random(3);
  for (DType type : {DType::kF32, DType::kF8E4M3}) {
    const TestTensor gate(type, 160, 96, random), up(type, 160, 96, random);
    TestWeight weight(type, 48 + 41, 96);
    PackRows(gate.Slice(112, 48, 0, 96), {type, 0, 89, weight.values(), weight.ScaleData()});
    PackRows(up.Slice(100, 41, 0, 96), {type, 48, 89, weight.values(), weight.ScaleData()});
    ExpectPacked(gate, 112, 0, weight.packed(), 0, 48);
    ExpectPacked(up, 100, 0, weight.packed(), 48, 41);
  }
}

TEST(PackedWeight, ConvertsThroughFloat) {
  Random random(4);
  for (DType from : {DType::kF32, DType::kBF16, DType::kF8E4M3}) {
    const TestTensor tensor(from, 140, 300, random);
    for (DType to : {DType::kF32, DType::kBF16}) {
      TestWeight weight(to, 33, 150);
      PackRows(tensor.Slice(100, 33, 60, 150), {to, 0, 33, weight.values(), nullptr});
      ExpectPacked(tensor, 100, 60, weight.packed(), 0, 33);
    }
  }
}

TEST(PackedWeight, ReadsHalfPrecision) {
  const std::vector<uint16_t> halves = {0x3c00, 0xc000, 0x0001,
                                        0x83ff, 0x7bff, 0x0000};  // 1, -2, subnormals, 65504
  const std::vector<float> expected = {1.0f, -2.0f, 0x1p-24f, -1023 * 0x1p-24f, 65504.0f, 0.0f};
  TestWeight weight(DType::kF32, 1, 6);
  PackRows({.data = halves.data(), .row_stride = 6, .type = DType::kF16, .rows = 1, .cols = 6},
           {DType::kF32, 0, 1, weight.values(), nullptr});
  for (int64_t k = 0; k < 6; ++k) EXPECT_EQ(reference::Get(weight.packed(), 0, k), expected[k]);
}

TEST(PackedWeight, ExpandsBlockFormats) {
  Random random(6);
  for (DType from : kBlockTypes) {
    const BlockTensor tensor(from, 60, 1024, random);
    for (DType to : {DType::kF32, DType::kBF16}) {
      const TestWeight weight = tensor.Packed(to, 20, 35, 512, 256);
      for (int64_t n = 0; n < 48; ++n) {
        const std::vector<float> row = n < 35 ? tensor.Row(20 + n) : std::vector<float>(1024);
        for (int64_t k = 0; k < 256; ++k) {
          const float expected = to == DType::kF32 ? row[512 + k] : ToFloat(ToBF16(row[512 + k]));
          ASSERT_EQ(reference::Get(weight.packed(), n, k), expected) << Name(from) << " " << n << " " << k;
        }
      }
    }
  }
}

TEST(PackedWeight, StacksBlocks) {
  Random random(7);
  for (DType type : kBlockTypes) {
    const BlockTensor gate(type, 48, 512, random), up(type, 41, 512, random);
    TestWeight stacked(type, 48 + 41, 512);
    PackRows(gate.Slice(0, 48, 0, 512), {type, 0, 89, stacked.values(), nullptr});
    PackRows(up.Slice(0, 41, 0, 512), {type, 48, 89, stacked.values(), nullptr});
    const int64_t panel = PackedValueBytes(type, 16, 512);
    const uint8_t* bytes = static_cast<const uint8_t*>(stacked.packed().data);
    EXPECT_EQ(std::memcmp(bytes, gate.Packed(type).packed().data, 3 * panel), 0) << Name(type);
    EXPECT_EQ(std::memcmp(bytes + 3 * panel, up.Packed(type).packed().data, 3 * panel), 0) << Name(type);
    EXPECT_EQ(bytes[6 * panel], 0xff);  // the guard
  }
}

TEST(PackedWeight, BytesAreTheLayoutsPaddedTo64) {
  EXPECT_EQ(PackedValueBytes(DType::kBF16, 17, 3), 192);
  EXPECT_EQ(PackedValueBytes(DType::kF8E4M3, 1, 5), 128);
  EXPECT_EQ(PackedValueBytes(DType::kQ8_0, 17, 64), 2 * 2 * 16 * 34);
  EXPECT_EQ(PackedValueBytes(DType::kQ6K, 1, 256), 16 * 210 + 32);
  EXPECT_EQ(PackedValueBytes(DType::kInt4G128, 16, 128), 16 * 69 + 48);
  EXPECT_EQ(PackedScaleBytes(DType::kBF16, 17, 3, 0), 0);
  EXPECT_EQ(PackedScaleBytes(DType::kQ4K, 17, 256, 0), 0);
  EXPECT_EQ(PackedScaleBytes(DType::kF8E4M3, 17, 128, 0), 2 * 64);
  EXPECT_EQ(PackedScaleBytes(DType::kF8E4M3, 17, 128, 130), 2 * 2 * 64);
}

TEST(PackedWeightDeathTest, RefusesPartsThatDoNotFillPanels) {
  Random random(5);
  const TestTensor tensor(DType::kF32, 40, 8, random);
  TestWeight weight(DType::kF32, 40, 8);
  EXPECT_DEATH(PackRows(tensor.Slice(0, 20, 0, 8), {DType::kF32, 0, 40, weight.values(), nullptr}),
               "check failed");
}

}  // namespace
}  // namespace deeprack::kernels
