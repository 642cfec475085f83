#include "coordinator/dispatch/late_ranks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace deeprack::coordinator {
namespace {

using testing::DoubleEq;
using testing::ElementsAre;
using testing::IsEmpty;

// A step of one second. waits[r]: seconds of rank r inside collectives. rows[g]: of dp group g.
class LateRanksTest : public testing::Test {
 protected:
  static std::vector<double> Step(LateRanks& late, const std::vector<double>& waits,
                                  const std::vector<int32_t>& rows = {1}) {
    std::vector<model::StepTimings> timings;
    for (const double wait : waits) timings.push_back({.total_seconds = 1, .collective_seconds = wait});
    return late.Add({.rows_of_group = rows}, timings);
  }
};

TEST_F(LateRanksTest, TheRankThatWaitsLeastIsLate) {
  LateRanks late({.tp = 4}, absl::Seconds(2));
  EXPECT_THAT(Step(late, {0.75, 0.25, 0.75, 0.75}), ElementsAre(0, DoubleEq(0.5), 0, 0));
  EXPECT_THAT(late.slow(), IsEmpty()) << "the window is not over";
  Step(late, {0.5, 0.25, 0.5, 0.5});
  EXPECT_THAT(late.slow(), ElementsAre(SlowRank{1, 0.375, 2}));
  EXPECT_EQ(late.windows(), 1);
  Step(late, {0.5, 0.25, 0.5, 0.5});
  Step(late, {0.5, 0.25, 0.5, 0.5});
  EXPECT_THAT(late.slow(), IsEmpty()) << "a quarter of the time is not slow";
}

TEST_F(LateRanksTest, OfTwoTheOtherIsTheMeasureAndTwoSlowRanksAreBothNamed) {
  LateRanks two({.tp = 2}, absl::Seconds(1));
  EXPECT_THAT(Step(two, {0.1, 0.9}), ElementsAre(DoubleEq(0.8), 0));
  LateRanks four({.tp = 4}, absl::Seconds(1));
  EXPECT_THAT(Step(four, {0.0, 0.5, 0.5, 0.0}), ElementsAre(DoubleEq(0.5), 0, 0, DoubleEq(0.5)));
  EXPECT_THAT(four.slow(), ElementsAre(SlowRank{0, 0.5, 1}, SlowRank{3, 0.5, 1}));
}

TEST_F(LateRanksTest, TheTimeOfBeingSlowIsWithoutABreak) {
  LateRanks late({.tp = 2}, absl::Seconds(2));
  const auto window = [&](double wait) {
    Step(late, {wait, 1});
    Step(late, {wait, 1});
    return late.slow();
  };
  EXPECT_THAT(window(0.5), ElementsAre(SlowRank{0, 0.5, 2}));
  EXPECT_THAT(window(0.25), ElementsAre(SlowRank{0, 0.75, 4}));
  EXPECT_THAT(window(0.75), IsEmpty());
  EXPECT_THAT(window(0.5), ElementsAre(SlowRank{0, 0.5, 2}));
}

TEST_F(LateRanksTest, AGroupWithMoreWorkIsNotSlow) {
  LateRanks late({.tp = 2, .dp = 2}, absl::Seconds(1));
  // Only the first group has a sequence, and its second rank is slow.
  EXPECT_THAT(Step(late, {0.5, 0.1, 0.9, 0.9}, {3, 0}), ElementsAre(0, DoubleEq(0.4), 0, 0));
  // Rank 2 has less work than the first group and waits less than its ranks.
  EXPECT_THAT(Step(late, {0.5, 0.5, 0.1, 0.5}, {3, 2}), ElementsAre(0, 0, DoubleEq(0.4), 0));
}

TEST_F(LateRanksTest, StagesOfAPipelineAreNotCompared) {
  LateRanks late({.tp = 2, .pp = 2}, absl::Seconds(1));
  // The second stage waits for the first one in every step.
  EXPECT_THAT(Step(late, {0.1, 0.1, 0.9, 0.8}), ElementsAre(0, 0, 0, DoubleEq(0.1)));
  LateRanks alone({.pp = 2}, absl::Seconds(1));
  EXPECT_THAT(Step(alone, {0.0, 0.9}), ElementsAre(0, 0));
}

TEST_F(LateRanksTest, TimingsOfAnotherNumberOfRanksCountForNothing) {
  LateRanks late({.tp = 2}, absl::Seconds(1));
  EXPECT_THAT(Step(late, {0.5}), ElementsAre(0));
  EXPECT_THAT(Step(late, {}), IsEmpty());
  EXPECT_EQ(late.windows(), 0);
}

}  // namespace
}  // namespace deeprack::coordinator
