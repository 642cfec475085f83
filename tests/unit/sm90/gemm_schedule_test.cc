#include "kernels/cuda/sm90/gemm_schedule.h"

#include <gtest/gtest.h>

#include <set>
#include <tuple>
#include <vector>

namespace deeprack::kernels::sm90 {
namespace {

TEST(GemmScheduleTest, BlocksTogetherDoEveryUnitOnce) {
  const std::vector<int> rows = {5, 0, 0, 17, 16, 1, 0};
  const auto rows_of = [&](int g) { return rows[g]; };
  for (int grid : {1, 3, 132}) {
    std::set<std::tuple<int, int, int, int>> seen;
    size_t units = 0;
    for (int block = 0; block < grid; ++block) {
      GemmWalk walk(static_cast<int>(rows.size()), 5, 2, 16);
      GemmUnit unit;
      for (int64_t number = block; walk.Find(number, rows_of, unit); number += grid, ++units) {
        EXPECT_EQ(unit.token_tiles, (rows[unit.group] + 15) / 16);
        EXPECT_LT(unit.token_tile, unit.token_tiles);
        EXPECT_LT(unit.feature_tile, 5);
        EXPECT_LT(unit.split, 2);
        seen.insert({unit.group, unit.feature_tile, unit.split, unit.token_tile});
      }
    }
    EXPECT_EQ(units, 10u * (1 + 2 + 1 + 1));
    EXPECT_EQ(seen.size(), units);
  }
}

TEST(GemmScheduleTest, TilesOfTheSameWeightsAreNeighbours) {
  GemmWalk walk(1, 3, 2, 8);
  GemmUnit unit;
  const auto rows_of = [](int) { return 20; };
  std::vector<std::tuple<int, int, int>> order;
  for (int64_t number = 0; walk.Find(number, rows_of, unit); ++number)
    order.emplace_back(unit.feature_tile, unit.split, unit.token_tile);
  ASSERT_EQ(order.size(), 18u);
  EXPECT_EQ(order[2], std::make_tuple(0, 0, 2));
  EXPECT_EQ(order[3], std::make_tuple(0, 1, 0));
  EXPECT_EQ(order[6], std::make_tuple(1, 0, 0));
}

TEST(GemmScheduleTest, PartsCoverKInOrder) {
  for (int blocks : {1, 7, 16, 56, 128}) {
    for (int splits = 1; splits <= kMaxSplits && splits <= blocks; ++splits) {
      int at = 0;
      for (int s = 0; s < splits; ++s) {
        const BlockRange range = SplitRange(blocks, splits, s);
        EXPECT_EQ(range.begin, at);
        EXPECT_GT(range.end, range.begin);
        at = range.end;
      }
      EXPECT_EQ(at, blocks);
    }
  }
}

TEST(GemmScheduleTest, R1ShapesFillTheCard) {
  // Units of a decode step's products: 132 multiprocessors should be busy for at least four fifths of the
  // time.
  for (const auto& [n, k] :
       {std::pair{2112, 7168}, {24576, 1536}, {7168, 16384}, {4096, 7168}, {7168, 2048}}) {
    const GemmConfig config = ChooseGemm(1, n, k, 16);
    const int tiles = (n + 127) / 128, blocks = k / 128;
    const int64_t waves =
        (int64_t{tiles} * config.splits + kStreamingMultiprocessors - 1) / kStreamingMultiprocessors;
    const double busy = static_cast<double>(int64_t{tiles} * blocks) /
                        static_cast<double>(waves * ((blocks + config.splits - 1) / config.splits) *
                                            kStreamingMultiprocessors);
    EXPECT_GT(busy, 0.8) << n << " x " << k << ": " << config.ToString();
    EXPECT_LE(config.splits, kMaxSplits);
  }
}

TEST(GemmScheduleTest, PartsDependOnTheWeightAlone) {
  for (const auto& [n, k] : {std::pair{2112, 7168}, {7168, 2048}, {512, 128}, {129280, 7168}}) {
    const int splits = ChooseSplits(1, n, k);
    for (int rows : {1, 8, 9, 33, 64, 65, 200, 257, 5000}) {
      const GemmConfig config = ChooseGemm(1, n, k, rows);
      EXPECT_EQ(config.splits, splits);
      EXPECT_EQ(config.parallel, splits > 1 && config.tokens < 128);
      EXPECT_EQ(PartialBytes(config, n, rows) > 0, config.parallel);
      EXPECT_EQ(ArrivalBytes(config, n, rows) > 0, config.parallel);
    }
  }
  EXPECT_EQ(ChooseGemm(1, 7168, 2048, 4096).tokens, 128);
  EXPECT_EQ(ChooseGemm(1, 7168, 2048, 100).tokens, 64);
  EXPECT_EQ(ChooseGemm(32, 4096, 7168, 100).tokens, 128);
  EXPECT_EQ(ChooseGemm(32, 4096, 7168, 8).tokens, 8);
  EXPECT_EQ(ChooseGemm(32, 4096, 7168, 8).ToString(), "tiles of 128 features x 8 tokens, K in 1 part");
}

TEST(GemmScheduleTest, WorkspaceHoldsEveryPart) {
  const GemmConfig config{.tokens = 16, .splits = 3, .parallel = true};
  EXPECT_EQ(PartialBytes(config, 300, 40), 3 * 3 * 3 * 128 * 16 * 4);
  EXPECT_EQ(ArrivalBytes(config, 300, 40), 3 * 3 * 4);
}

}  // namespace
}  // namespace deeprack::kernels::sm90
