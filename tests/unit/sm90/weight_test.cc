#include "kernels/cuda/sm90/weight.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <set>
#include <vector>

#include "kernels/api/int4_tiles.h"
#include "kernels/api/weight_packing.h"
#include "kernels/cuda/sm90/isa/layout.h"

namespace deeprack::kernels::sm90 {
namespace {

// A whole fp8 tensor of a checkpoint with values and scales that say where they are.
struct Tensor {
  Tensor(int64_t rows, int64_t cols)
      : rows(rows), cols(cols), values(rows * cols), scales(((rows + 127) / 128) * ((cols + 127) / 128)) {
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<uint8_t>(i * 7 + i / 256);
    for (size_t i = 0; i < scales.size(); ++i) scales[i] = static_cast<float>(i + 1);
  }
  SourceMatrix Slice(int64_t row, int64_t col, int64_t height, int64_t width) const {
    return {values.data() + row * cols + col,
            cols,
            DType::kF8E4M3,
            height,
            width,
            scales.data(),
            (cols + 127) / 128,
            row,
            col};
  }
  float Scale(int64_t row, int64_t col) const { return scales[row / 128 * ((cols + 127) / 128) + col / 128]; }
  int64_t rows, cols;
  std::vector<uint8_t> values;
  std::vector<float> scales;
};

struct Packed {
  Packed(int64_t n, int64_t k) : k(k), data(n * k), scales(ScaleCount(1, n, k)) {}
  float Scale(int64_t n, int64_t col) const {
    return scales[(n / 16 * ScaleBlocks(k) + col / 128) * 2 + n % 16 / 8];
  }
  int64_t k;
  std::vector<uint8_t> data;
  std::vector<float> scales;
};

TEST(RowWeightTest, SlicesStackAndKeepTheirScales) {
  const Tensor a(256, 384), b(192, 384);
  Packed packed(72 + 8 + 64, 256);
  PackRowMajor(a.Slice(88, 128, 80, 256), 0, packed.data.data(), packed.scales.data());
  PackRowMajor(b.Slice(120, 128, 64, 256), 80, packed.data.data(), packed.scales.data());
  for (int64_t n = 0; n < 144; ++n) {
    const Tensor& tensor = n < 80 ? a : b;
    const int64_t row = n < 80 ? 88 + n : 120 + n - 80;
    for (int64_t c = 0; c < 256; ++c) {
      ASSERT_EQ(packed.data[n * 256 + c], tensor.values[row * 384 + 128 + c]);
      ASSERT_EQ(packed.Scale(n, c), tensor.Scale(row, 128 + c)) << n << " " << c;
    }
  }
}

TEST(RowWeightTest, RefusesWhatTheProductsCannotRead) {
  EXPECT_EQ(WhyNotRowWeight(DType::kF8E4M3, 576, 7168, 64, 128), nullptr);
  EXPECT_STREQ(WhyNotRowWeight(DType::kF8E4M3, 576, 7168, 60, 0),
               "its slice begins at a row of the tensor that is no multiple of 8");
  EXPECT_STREQ(WhyNotRowWeight(DType::kF8E4M3, 576, 7168, 0, 64),
               "its slice begins within a block of 128 columns");
  EXPECT_STREQ(WhyNotRowWeight(DType::kF8E4M3, 100, 128, 0, 0), "its rows are no multiple of 16");
  EXPECT_STREQ(WhyNotRowWeight(DType::kBF16, 16, 12, 0, 0), "a row of it is no multiple of 16 bytes");
  EXPECT_STREQ(WhyNotRowWeight(DType::kF32, 16, 16, 0, 0), "its type");
  EXPECT_STREQ(WhyNotRowWeight(DType::kInt4G128, 16, 64, 0, 0), "its columns are no multiple of 128");
}

TEST(Int4WeightTest, EveryElementHasItsNibble) {
  std::set<int64_t> seen;
  for (int row = 0; row < 128; ++row) {
    for (int column = 0; column < 128; ++column) seen.insert(Int4Nibble(row, column));
  }
  EXPECT_EQ(seen.size(), 128u * 128);
  EXPECT_EQ(*seen.begin(), 0);
  EXPECT_EQ(*seen.rbegin(), 128 * 128 - 1);
  EXPECT_EQ(kInt4TileBytes % 16, 0);
}

TEST(Int4WeightTest, ALanesWordsAreItsFragments) {
  // Lane, register and step of the instruction, against where the packing puts the element that they should
  // hold.
  for (int thread = 0; thread < kWarpgroup; ++thread) {
    for (int step = 0; step < 8; ++step) {
      for (int j = 0; j < 4; ++j) {
        const int row = FragmentRow(thread, j), column = step * 16 + FragmentColumn(thread, j);
        const int64_t word = (int64_t{thread / kWarp * 2 + step / 4} * kWarp + thread % kWarp) * 4 + step % 4;
        EXPECT_EQ(Int4Nibble(row, column), word * 8 + j);
        EXPECT_EQ(Int4Nibble(row, column + 1), word * 8 + j + 4);
      }
    }
  }
}

TEST(Int4WeightTest, ForE4M3EveryElementHasItsBitsWhereItsLaneWantsThem) {
  std::set<std::pair<int64_t, bool>> seen;
  for (int row = 0; row < 128; ++row) {
    for (int column = 0; column < 128; ++column) {
      const Int4Place place = PlaceInt4(row, column);
      EXPECT_TRUE(seen.insert({place.byte, place.second}).second);
      EXPECT_LT(place.byte, kTileRows * 64);
    }
  }
  // Lane 13 of panel 2, step 3 of 4: the fragment's four registers.
  for (int j = 0; j < 4; ++j) {
    const int row = 32 + FragmentRow(13, j), column = 96 + ByteFragmentColumn(13, j);
    for (int i = 0; i < 4; ++i) {
      const Int4Place place = PlaceInt4(row, column + i);
      EXPECT_EQ(place.byte, (((2 * 2 + 1) * 32 + 13) * 4 + 2 + j % 2) * 4 + i);
      EXPECT_EQ(place.second, j >= 2);
    }
  }
  for (int q = 0; q < 16; ++q) {
    for (const bool second : {false, true}) {
      const int bits = Int4Byte(q, second);
      EXPECT_EQ(bits & ~Int4ByteMask(second), 0);
      const int sign = second ? bits & 1 : bits >> 7, magnitude = second ? bits >> 4 & 7 : bits >> 1 & 7;
      const fp8_e4m3 operand{static_cast<uint8_t>(sign << 7 | magnitude << 1 | 1)};
      EXPECT_EQ(ToFloat(operand) * kInt4Unit + kInt4Center, static_cast<float>(q));
    }
  }
}

TEST(Int4WeightTest, RowsKeepScalesZerosAndValues) {
  std::mt19937 random(3);
  std::vector<uint8_t> tiles(Int4Bytes(1, 144, 256));
  std::vector<BlockInt4G128> blocks(2);
  for (BlockInt4G128& block : blocks) {
    block.scale = static_cast<float>(random() % 100);
    block.zero = static_cast<uint8_t>(random() % 17);
    for (uint8_t& q : block.qs) q = static_cast<uint8_t>(random());
  }
  PackInt4Row(blocks.data(), 139, 256, WeightLayout::kTiles, tiles.data());
  for (int64_t c = 0; c < 256; ++c) {
    const uint8_t* tile = tiles.data() + (2 + c / 128) * kInt4TileBytes;
    float scale;
    std::memcpy(&scale, tile + 11 * 4, 4);
    const int64_t nibble = Int4Nibble(11, static_cast<int>(c % 128));
    const int q = tile[kInt4ValueOffset + nibble / 2] >> (nibble % 2 * 4) & 15;
    EXPECT_EQ(scale, blocks[c / 128].scale);
    EXPECT_EQ(tile[kInt4ZeroOffset + 11], blocks[c / 128].zero);
    EXPECT_EQ(q, blocks[c / 128].qs[c % 64] >> (c % 128 / 64 * 4) & 15) << c;
  }
}

}  // namespace
}  // namespace deeprack::kernels::sm90
