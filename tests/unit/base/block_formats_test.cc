// Cases that the comparison with the `gguf` package (tests/formats) does not cover.
#include "base/block_formats.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

namespace deeprack {
namespace {

TEST(BlockFormats, EveryHalfSurvivesTheWayThroughFloat) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const f16 half{static_cast<uint16_t>(bits)};
    if (std::isnan(ToFloat(half))) {
      EXPECT_TRUE(std::isnan(ToFloat(ToF16(ToFloat(half)))));
    } else {
      EXPECT_EQ(ToF16(ToFloat(half)).bits, half.bits);
    }
  }
}

TEST(BlockFormats, Int4) {
  BlockInt4G128 block = {.scale = 0.5f, .zero = 16};
  for (int i = 0; i < 64; ++i) block.qs[i] = static_cast<uint8_t>(i % 16 | (15 - i % 16) << 4);
  std::vector<float> values(128);
  Dequantize(DType::kInt4G128, &block, 128, values.data());
  for (int i = 0; i < 64; ++i) {
    EXPECT_EQ(values[i], 0.5f * static_cast<float>(i % 16 - 16));
    EXPECT_EQ(values[64 + i], 0.5f * static_cast<float>(15 - i % 16 - 16));
  }
}

TEST(BlockFormats, Int8) {
  BlockInt8G128 block = {.scale = 0.25f};
  for (int i = 0; i < 128; ++i) block.qs[i] = static_cast<int8_t>(i - 128);
  std::vector<float> values(128);
  Dequantize(DType::kInt8G128, &block, 128, values.data());
  for (int i = 0; i < 128; ++i) EXPECT_EQ(values[i], 0.25f * static_cast<float>(i - 128));
}

TEST(BlockFormats, BlocksMayLieAtAnyAddress) {
  BlockInt8G128 blocks[2] = {{.scale = 1.5f}, {.scale = -2.0f}};
  blocks[0].qs[127] = 3;
  blocks[1].qs[0] = 5;
  std::vector<char> shifted(sizeof(blocks) + 1);
  std::memcpy(shifted.data() + 1, blocks, sizeof(blocks));
  std::vector<float> values(256);
  Dequantize(DType::kInt8G128, shifted.data() + 1, 256, values.data());
  EXPECT_EQ(values[127], 4.5f);
  EXPECT_EQ(values[128], -10.0f);
  EXPECT_TRUE(BlocksAreFinite(DType::kInt8G128, shifted.data() + 1, 256));
}

TEST(BlockFormats, ScalesThatLeadOutOfFloatAreNotFinite) {
  constexpr float kLargest = std::numeric_limits<float>::max();
  for (float scale : {kLargest, -kLargest, std::numeric_limits<float>::infinity(), std::nanf("")}) {
    const BlockInt8G128 int8[2] = {{.scale = 1}, {.scale = scale}};
    EXPECT_TRUE(BlocksAreFinite(DType::kInt8G128, int8, 128));
    EXPECT_FALSE(BlocksAreFinite(DType::kInt8G128, int8, 256));
    const BlockInt4G128 int4[2] = {{.scale = 1}, {.scale = scale}};
    EXPECT_TRUE(BlocksAreFinite(DType::kInt4G128, int4, 128));
    EXPECT_FALSE(BlocksAreFinite(DType::kInt4G128, int4, 256));
  }
  const BlockInt8G128 large = {.scale = kLargest / 128};
  EXPECT_TRUE(BlocksAreFinite(DType::kInt8G128, &large, 128));
}

}  // namespace
}  // namespace deeprack
