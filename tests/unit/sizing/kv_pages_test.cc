#include "sizing/kv_pages.h"

#include <gtest/gtest.h>

#include "base/fp8_kv_page.h"
#include "tests/unit/model/distill_configs.h"
#include "tests/unit/model/r1_config.h"

namespace deeprack::sizing {
namespace {

using model::R1;

TEST(KvPageTest, KvPageOfR1) {
  // 64 tokens x 61 layers x 576 values: 70.3 KB a token in bf16.
  EXPECT_EQ(KvPageBytes({.config = R1(), .layout = {.tp = 8, .dp = 2, .ep = 16}, .cache_type = DType::kBF16}),
            64 * 61 * 576 * 2);
  EXPECT_EQ(KvPageBytes({.config = R1(), .layout = {.pp = 4}, .cache_type = DType::kF32}), 64 * 16 * 576 * 4);
  // The MTP layer is one more layer of the last stage.
  EXPECT_EQ(KvPageBytes({.config = R1(),
                         .layout = {.pp = 4},
                         .rank = 0,
                         .cache_type = DType::kF32,
                         .speculative_tokens = 2}),
            64 * 16 * 576 * 4);
  EXPECT_EQ(KvPageBytes({.config = R1(),
                         .layout = {.pp = 4},
                         .rank = 3,
                         .cache_type = DType::kF32,
                         .speculative_tokens = 2}),
            KvPageBytes({.config = R1(), .layout = {.pp = 4}, .rank = 3, .cache_type = DType::kF32}) +
                64 * 576 * 4);
  EXPECT_EQ(KvPageBytes({.config = R1(), .layout = {.pp = 4}, .rank = 3, .cache_type = DType::kF32}),
            64 * 15 * 576 * 4);
}

TEST(KvPageTest, KvPageOfR1InFp8) {
  EXPECT_EQ(
      KvPageBytes({.config = R1(), .layout = {.tp = 8, .dp = 2, .ep = 16}, .cache_type = DType::kF8E4M3}),
      61 * 41216);
  EXPECT_EQ(KvPageBytes({.config = R1(), .layout = {.pp = 4}, .rank = 3, .cache_type = DType::kF8E4M3}),
            15 * 41216);
  // An odd latent: its rope begins a byte later.
  EXPECT_EQ((Fp8KvPage{.latent_dim = 21, .rope_dim = 4}.bytes()), 64 * (22 + 8 + 4));
}

TEST(KvPageTest, PagesHoldKeysAndValuesOfTheRanksHeads) {
  const model::ModelConfig config = model::MustParse(model::Qwen7B());  // 28 layers, 4 key-value heads of 128
  EXPECT_EQ(KvPageBytes({.config = config, .cache_type = DType::kBF16}), 28 * 64 * 4 * 256 * 2);
  EXPECT_EQ(
      KvPageBytes({.config = config, .layout = {.tp = 4, .pp = 2}, .rank = 5, .cache_type = DType::kBF16}),
      14 * 64 * 1 * 256 * 2);
  EXPECT_EQ(KvPageBytes({.config = config, .layout = {.tp = 28}, .rank = 5, .cache_type = DType::kF32}),
            28 * 64 * 1 * 256 * 4);
}

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
