#include "sizing/kv_pages.h"

#include <gtest/gtest.h>

namespace deeprack::sizing {
namespace {

TEST(AgreeOnBlocksTest, TheTightestRankDecides) {
  const RankMemory ranks[] = {{.host = 1, .available_bytes = 1000, .fixed_bytes = 100, .page_bytes = 10},
                              {.host = 1, .available_bytes = 1000, .fixed_bytes = 50, .page_bytes = 10},
                              {.host = 2, .available_bytes = 1000, .fixed_bytes = 50, .page_bytes = 40}};
  // 900 / 2 - 100 = 350, 900 / 2 - 50 = 400, 900 - 50 = 850 bytes.
  EXPECT_EQ(AgreeOnBlocks(std::span(ranks).first(1), 1000).blocks, 80);
  EXPECT_EQ(AgreeOnBlocks(std::span(ranks).first(2), 1000).blocks, 35);
  EXPECT_EQ(AgreeOnBlocks(ranks, 1000).blocks, 21);
  EXPECT_EQ(AgreeOnBlocks(ranks, 1000).tightest, 2);
  EXPECT_EQ(AgreeOnBlocks(ranks, 20).blocks, 20);
}

TEST(AgreeOnBlocksTest, WhatARankHoldsCountsAsAvailable) {
  // The first kept its weights and 30 pages and meets the second again, which begins with nothing.
  const RankMemory ranks[] = {{.host = 1,
                               .available_bytes = 600,
                               .fixed_bytes = 100,
                               .page_bytes = 10,
                               .kv_bytes = 300,
                               .held_bytes = 400},
                              {.host = 1, .available_bytes = 600, .fixed_bytes = 250, .page_bytes = 10}};
  EXPECT_EQ(AgreeOnBlocks(ranks, 1000).blocks, 20);  // 900 / 2 - 250 = 200 bytes
  EXPECT_EQ(AgreeOnBlocks(std::span(ranks).first(1), 1000).blocks, 30);
}

TEST(AgreeOnBlocksTest, AWishIsKept) {
  const RankMemory wish = {.available_bytes = 5, .fixed_bytes = 100, .page_bytes = 10, .kv_bytes = 99};
  EXPECT_EQ(AgreeOnBlocks({&wish, 1}, 1000).blocks, 9);
}

TEST(AgreeOnBlocksTest, NoRoomIsZero) {
  const RankMemory full = {.available_bytes = 1000, .fixed_bytes = 2000, .page_bytes = 10};
  EXPECT_EQ(AgreeOnBlocks({&full, 1}, 1000).blocks, 0);
}

}  // namespace
}  // namespace deeprack::sizing
