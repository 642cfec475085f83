#include "model/layout/layout.h"

#include <set>
#include <string>
#include <tuple>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/model/r1_config.h"

namespace deeprack::model {
namespace {

using ::testing::HasSubstr;
using ::testing::Pair;

std::string Fault(const ModelConfig& config, Layout layout) {
  return std::string(ValidateLayout(config, layout).message());
}

TEST(LayoutTest, CoordinatesNumberTheRanks) {
  const Layout layout = {.tp = 4, .dp = 3, .ep = 6, .pp = 2};
  EXPECT_EQ(layout.world_size(), 24);
  EXPECT_EQ(layout.expert_tp(), 2);
  std::set<std::tuple<int, int, int>> seen;
  for (Rank rank = 0; rank < layout.world_size(); ++rank) {
    const RankCoordinates at = CoordinatesOf(layout, rank);
    EXPECT_EQ((at.pp_rank * layout.dp + at.dp_rank) * layout.tp + at.tp_rank, rank);
    EXPECT_EQ(at.stage_rank, at.dp_rank * layout.tp + at.tp_rank);
    EXPECT_EQ(at.expert_group * layout.expert_tp() + at.expert_tp_rank, at.stage_rank);
    EXPECT_LT(at.expert_group, layout.ep);
    EXPECT_LT(at.expert_tp_rank, layout.expert_tp());
    seen.insert({at.tp_rank, at.dp_rank, at.pp_rank});
  }
  EXPECT_EQ(seen.size(), 24u);
}

TEST(LayoutTest, StagesShareTheLayersEarlierOnesOneMore) {
  const ModelConfig config = R1();
  EXPECT_THAT(LayersOfStage(config, {.pp = 1}, 0), Pair(0, 61));
  EXPECT_THAT(LayersOfStage(config, {.pp = 4}, 0), Pair(0, 16));
  EXPECT_THAT(LayersOfStage(config, {.pp = 4}, 1), Pair(16, 31));
  EXPECT_THAT(LayersOfStage(config, {.pp = 4}, 3), Pair(46, 61));
  for (int32_t pp = 1; pp <= 61; ++pp) {
    int64_t next = 0;
    for (int32_t stage = 0; stage < pp; ++stage) {
      const auto [begin, end] = LayersOfStage(config, {.pp = pp}, stage);
      EXPECT_EQ(begin, next);
      EXPECT_GT(end, begin);
      next = end;
    }
    EXPECT_EQ(next, 61);
  }
}

TEST(LayoutTest, AcceptsR1sLayouts) {
  for (const Layout& layout :
       {Layout{}, Layout{.tp = 8, .dp = 2, .ep = 16}, Layout{.tp = 16, .dp = 1, .ep = 16},
        Layout{.tp = 1, .dp = 32, .ep = 32, .pp = 2}, Layout{.tp = 8, .ep = 1, .pp = 4},
        Layout{.tp = 4, .dp = 2, .ep = 4, .pp = 61}}) {
    EXPECT_TRUE(ValidateLayout(R1(), layout).ok()) << ToString(layout) << ValidateLayout(R1(), layout);
  }
}

TEST(LayoutTest, RefusalOfTpListsWhatWouldDo) {
  auto json = R1Json();
  json["num_attention_heads"] = json["num_key_value_heads"] = 16;
  EXPECT_EQ(Fault(MustParse(json), {.tp = 3, .ep = 3}),
            "16 attention heads cannot be split over tp=3: tp may be 1, 2, 4, 8 or 16");
  // 344 = 8 x 43 and 304 = 16 x 19 leave 1, 2, 4, 8 of 32 heads.
  auto small = SmallJson();
  small["num_attention_heads"] = small["num_key_value_heads"] = 32;
  EXPECT_EQ(Fault(MustParse(small), {.tp = 16, .ep = 16}),
            "intermediate_size 344 cannot be split over tp=16: tp may be 1, 2, 4 or 8");
}

TEST(LayoutTest, RefusesSharedWidthAndVocabularyThatDoNotSplit) {
  auto json = SmallJson();
  json["n_shared_experts"] = 1;
  json["moe_intermediate_size"] = 150;
  EXPECT_THAT(Fault(MustParse(json), {.tp = 4, .ep = 4}), HasSubstr("shared experts' width 150"));
  json = SmallJson();
  json["vocab_size"] = 9;  // with ceil(9 / 8) = 2 rows on each rank, the last three ranks have none
  EXPECT_THAT(Fault(MustParse(json), {.tp = 8, .ep = 4}), HasSubstr("a vocabulary of 9"));
}

TEST(LayoutTest, RefusalOfEpListsWhatWouldDo) {
  EXPECT_EQ(Fault(R1(), {.tp = 8, .ep = 3}),
            "the 8 ranks of a stage (tp x dp) cannot form ep=3 expert groups: ep may be 1, 2, 4 or 8");
  // 12 experts over 8 ranks: groups of 8 do not divide 12; 152 = 8 x 19 splits over 8, 4, 2 ranks.
  EXPECT_EQ(Fault(Small(), {.tp = 8, .ep = 8}),
            "12 routed experts cannot be split over ep=8: ep may be 1, 2 or 4");
  EXPECT_THAT(Fault(Small(), {.tp = 8, .dp = 2, .ep = 1}),
              HasSubstr("moe_intermediate_size 152 cannot be split over the 16 ranks"));
  EXPECT_THAT(Fault(Small(), {.tp = 1, .dp = 7, .ep = 7}), HasSubstr("choose another tp or dp"));
}

TEST(LayoutTest, RefusesMoreStagesThanLayers) {
  EXPECT_EQ(Fault(R1(), {.pp = 62}), "61 layers cannot be split over pp=62: pp may be 1 to 61");
}

TEST(LayoutTest, RefusesSizesThatAreNone) {
  EXPECT_THAT(Fault(R1(), {.tp = 0}), HasSubstr("tp must be from 1"));
  EXPECT_THAT(Fault(R1(), {.dp = -1}), HasSubstr("dp must be from 1"));
  EXPECT_THAT(Fault(R1(), {.ep = 0}), HasSubstr("ep must be from 1"));
  EXPECT_THAT(Fault(R1(), {.pp = 2147483647}), HasSubstr("pp must be from 1"));
  // The product would overflow an int32_t.
  EXPECT_THAT(Fault(R1(), {.tp = 128, .dp = 1 << 20, .pp = 61}), HasSubstr("ranks"));
}

TEST(LayoutTest, DenseModelsNeedNothingOfEp) {
  auto json = SmallJson();
  json["n_routed_experts"] = 0;
  EXPECT_TRUE(ValidateLayout(MustParse(json), {.tp = 8, .ep = 8}).ok());
}

}  // namespace
}  // namespace deeprack::model
