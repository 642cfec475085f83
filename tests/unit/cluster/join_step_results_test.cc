#include "coordinator/dispatch/grpc_step_executor.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace deeprack::coordinator {
namespace {

using testing::HasSubstr;

model::StepPlan PlanOf(std::vector<SequenceId> sequences) {
  model::StepPlan plan{.epoch = 1, .step = 7};
  for (SequenceId id : sequences) plan.sequences.push_back({.sequence = id, .token_ids = {1}});
  return plan;
}

model::StepResult ResultOf(std::vector<SequenceId> sequences, double seconds = 0) {
  model::StepResult result{.epoch = 1, .step = 7, .timings = {seconds, seconds / 2}};
  for (SequenceId id : sequences) {
    result.sequences.push_back({.sequence = id, .sampled = true, .token = static_cast<TokenId>(id * 10)});
  }
  return result;
}

TEST(JoinStepResultsTest, AnswersComeInThePlansOrderFromWhicheverRankHasThem) {
  const auto joined =
      JoinStepResults(PlanOf({3, 1, 2}), {ResultOf({1}, 0.5), ResultOf({}, 2.0), ResultOf({2, 3}, 1.0)});
  ASSERT_TRUE(joined.ok()) << joined.status();
  ASSERT_EQ(joined->sequences.size(), 3u);
  EXPECT_EQ(joined->sequences[0].token, 30);
  EXPECT_EQ(joined->sequences[1].token, 10);
  EXPECT_EQ(joined->sequences[2].token, 20);
  ASSERT_EQ(joined->rank_timings.size(), 3u);
  EXPECT_EQ(joined->rank_timings[0].total_seconds, 0.5);
  EXPECT_EQ(joined->rank_timings[1].total_seconds, 2.0);
  EXPECT_EQ(joined->rank_timings[1].collective_seconds, 1.0);
}

TEST(JoinStepResultsTest, AnEmptyPlanHasAnEmptyAnswer) {
  const auto joined = JoinStepResults(PlanOf({}), {ResultOf({}), ResultOf({})});
  ASSERT_TRUE(joined.ok());
  EXPECT_TRUE(joined->sequences.empty());
}

TEST(JoinStepResultsTest, WhatDoesNotFitIsAnError) {
  const auto error = [](const model::StepPlan& plan, std::vector<model::StepResult> results) {
    const auto joined = JoinStepResults(plan, std::move(results));
    EXPECT_TRUE(absl::IsInternal(joined.status()));
    return std::string(joined.status().message());
  };
  EXPECT_THAT(error(PlanOf({1, 2}), {ResultOf({1}), ResultOf({})}),
              HasSubstr("no rank answered for sequence 2"));
  EXPECT_THAT(error(PlanOf({1}), {ResultOf({1}), ResultOf({1})}),
              HasSubstr("rank 1 answered for sequence 1"));
  EXPECT_THAT(error(PlanOf({1}), {ResultOf({1}), ResultOf({9})}),
              HasSubstr("sequence 9, which is not in step 7"));
  model::StepResult stale = ResultOf({1});
  stale.step = 6;
  EXPECT_THAT(error(PlanOf({1}), {stale}), HasSubstr("rank 0 answered step 6"));
}

}  // namespace
}  // namespace deeprack::coordinator
