#include "kernels/cuda/sm90/isa/layout.h"

#include <gtest/gtest.h>

#include <set>
#include <utility>

namespace deeprack::kernels::sm90 {
namespace {

TEST(LayoutTest, SwizzleFlipsTheChunkByTheRow) {
  for (uint32_t row = 0; row < 16; ++row) {
    for (uint32_t chunk = 0; chunk < 8; ++chunk) {
      for (uint32_t byte : {0u, 5u, 15u}) {
        const uint32_t at = 2048 + row * 128 + chunk * 16 + byte;
        EXPECT_EQ(Swizzle128(at), 2048 + row * 128 + (chunk ^ (row % 8)) * 16 + byte);
        EXPECT_EQ(Swizzle128(Swizzle128(at)), at);
      }
    }
  }
}

TEST(LayoutTest, DescriptorFields) {
  // By hand from the PTX ISA: 0x12340 >> 4 = 0x1234; 8192 >> 4 = 0x200 at bit 16; 1024 >> 4 = 0x40 at bit 32;
  // 1 at bit 62.
  EXPECT_EQ(MatrixDescriptor(0x12340, 8192, 1024), 0x4000004002001234u);
  EXPECT_EQ(KMajor(0x400), 0x4000004000010040u);
  const DescriptorFields fields = Decode(MnMajor(231424, 8192));
  EXPECT_EQ(fields.start, 231424u);
  EXPECT_EQ(fields.leading, 8192u);
  EXPECT_EQ(fields.stride, 1024u);
  EXPECT_EQ(fields.base_offset, 0u);
  EXPECT_EQ(fields.swizzle, 1u);
  EXPECT_EQ(Decode(Advance(KMajor(231424 - 1024), 96)).start, 231424u - 1024 + 96);
  EXPECT_EQ(Decode(Advance(KMajor(231424 - 1024), 96)).stride, 1024u);
}

TEST(LayoutTest, OperandsAreRowsOf128Bytes) {
  // K-major: row mn is 128 bytes of k. MN-major: row k is 64 elements of mn, and panels of 64 lie apart.
  const DescriptorFields k_major = Decode(KMajor(4096)), mn_major = Decode(MnMajor(4096, 8192));
  for (int mn = 0; mn < 128; ++mn) {
    for (int k = 0; k < 16; ++k) {
      EXPECT_EQ(OperandOffset(k_major, false, 2, mn, k), 4096u + static_cast<uint32_t>(mn * 128 + k * 2));
      EXPECT_EQ(OperandOffset(mn_major, true, 2, mn, k),
                4096u + static_cast<uint32_t>(mn / 64 * 8192 + k * 128 + mn % 64 * 2));
    }
  }
}

TEST(LayoutTest, AccumulatorsCoverTheTileOnce) {
  for (int n : {8, 16, 128}) {
    std::set<std::pair<int, int>> seen;
    for (int t = 0; t < kWarpgroup; ++t) {
      for (int i = 0; i < n / 2; ++i) seen.insert({AccumulatorRow(t, i), AccumulatorColumn(t, i)});
    }
    EXPECT_EQ(seen.size(), static_cast<size_t>(64 * n));
    EXPECT_EQ(*seen.begin(), std::make_pair(0, 0));
    EXPECT_EQ(*seen.rbegin(), std::make_pair(63, n - 1));
  }
}

TEST(LayoutTest, FragmentsCoverTheOperandOnce) {
  std::set<std::pair<int, int>> seen;
  for (int t = 0; t < kWarpgroup; ++t) {
    for (int j = 0; j < 4; ++j) {
      for (int c = 0; c < 2; ++c) seen.insert({FragmentRow(t, j), FragmentColumn(t, j) + c});
    }
  }
  EXPECT_EQ(seen.size(), 64u * 16);
  EXPECT_EQ(*seen.rbegin(), std::make_pair(63, 15));
}

}  // namespace
}  // namespace deeprack::kernels::sm90
