#include "coordinator/dispatch/join_step_results.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace deeprack::coordinator {
namespace {

using testing::HasSubstr;

constexpr int32_t kVocabulary = 100;

absl::StatusOr<model::StepResult> Join(const model::StepPlan& plan, std::vector<model::StepResult> by_rank) {
  return JoinStepResults(plan, std::move(by_rank), kVocabulary);
}

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
  const auto joined = Join(PlanOf({3, 1, 2}), {ResultOf({1}, 0.5), ResultOf({}, 2.0), ResultOf({2, 3}, 1.0)});
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
  const auto joined = Join(PlanOf({}), {ResultOf({}), ResultOf({})});
  ASSERT_TRUE(joined.ok());
  EXPECT_TRUE(joined->sequences.empty());
}

TEST(JoinStepResultsTest, ATokenOutsideTheVocabularyNamesRankStepAndSequence) {
  model::StepPlan plan = PlanOf({1});
  plan.sequences[0].token_ids = {1, 2, 3};
  plan.sequences[0].sampling.top_logprobs = 2;
  plan.sequences[0].prompt_logprobs = 1;
  const auto error = [&](const model::SequenceResult& answer) {
    model::StepResult result{.epoch = 1, .step = 7, .sequences = {answer}};
    const absl::StatusOr<model::StepResult> joined = Join(plan, {ResultOf({}), result});
    EXPECT_TRUE(joined.ok() || absl::IsInternal(joined.status()));
    return std::string(joined.status().message());
  };
  const model::SequenceResult good = {
      .sequence = 1,
      .sampled = true,
      .token = kVocabulary - 1,
      .logprobs = {.chosen = {99, -1.0f}, .top = {{0, -0.5f}, {99, -1.0f}}},
      .prompt_logprobs = {{.chosen = {2, -1.0f}, .top = {{5, -0.1f}}}, {.chosen = {3, -1.0f}}}};
  EXPECT_EQ(error(good), "");
  for (const TokenId bad : {-1, kVocabulary, INT32_MAX, INT32_MIN}) {
    SCOPED_TRACE(testing::Message() << "token " << bad);
    const std::string name = "rank 1 answered step 7 for sequence 1 with ";
    const std::string end = " " + std::to_string(bad) + ", which is not in the vocabulary of 100";
    model::SequenceResult answer = good;
    answer.token = bad;
    EXPECT_EQ(error(answer), name + "sampled token" + end);
    answer.sampled = false;  // the token of a result without `sampled` is not read
    EXPECT_EQ(error(answer), "");
    answer = good;
    answer.logprobs.chosen.token = bad;
    EXPECT_EQ(error(answer), name + "log-probability of token" + end);
    answer = good;
    answer.logprobs.top[1].token = bad;
    EXPECT_EQ(error(answer), name + "log-probability of token" + end);
    answer = good;
    answer.prompt_logprobs[1].chosen.token = bad;
    EXPECT_EQ(error(answer), name + "log-probability of token" + end);
    answer = good;
    answer.prompt_logprobs[0].top[0].token = bad;
    EXPECT_EQ(error(answer), name + "log-probability of token" + end);
  }
  model::SequenceResult answer = good;
  answer.logprobs.top.push_back({1, -3.0f});
  EXPECT_THAT(error(answer), HasSubstr("with 3 log-probabilities at one position; 2 were asked for"));
  answer = good;
  answer.prompt_logprobs.resize(4);
  EXPECT_THAT(error(answer), HasSubstr("4 prompt log-probabilities for a chunk of 3 tokens"));
}

model::StepResult RefusalOf(SequenceId sequence, const std::string& reason) {
  return {.epoch = 1, .step = 7, .refusal = model::Refusal{sequence, reason}, .timings = {0.25, 0}};
}

TEST(JoinStepResultsTest, APlanThatAllRanksRefuseAlikeIsRefused) {
  const auto joined = Join(PlanOf({1, 2}), {RefusalOf(2, "token 131"), RefusalOf(2, "token 131")});
  ASSERT_TRUE(joined.ok()) << joined.status();
  EXPECT_EQ(joined->refusal, (model::Refusal{2, "token 131"}));
  EXPECT_TRUE(joined->sequences.empty());
  EXPECT_EQ(joined->step, 7u);
  ASSERT_EQ(joined->rank_timings.size(), 2u);
  EXPECT_EQ(joined->rank_timings[1].total_seconds, 0.25);
}

TEST(JoinStepResultsTest, RanksThatDoNotRefuseAlikeAreAnError) {
  const auto error = [](std::vector<model::StepResult> results) {
    const auto joined = Join(PlanOf({1, 2}), std::move(results));
    EXPECT_TRUE(absl::IsInternal(joined.status())) << joined.status();
    return std::string(joined.status().message());
  };
  EXPECT_EQ(error({ResultOf({1, 2}), RefusalOf(2, "token 131")}),
            "rank 1 refused step 7 (token 131), but rank 0 executed it");
  EXPECT_EQ(error({RefusalOf(2, "token 131"), RefusalOf(1, "token 132")}),
            "rank 0 refused step 7 (token 131), but rank 1 refused it for token 132");
  model::StepResult both = RefusalOf(2, "token 131");
  both.sequences = ResultOf({1}).sequences;
  EXPECT_THAT(error({both, RefusalOf(2, "token 131")}), HasSubstr("rank 0 refused step 7"));
}

TEST(JoinStepResultsTest, ARowThatIsNotFiniteNamesTheRankThatDrew) {
  model::StepPlan plan = PlanOf({1, 2});
  plan.sequences[1] = {.sequence = 2, .num_computed = 40, .token_ids = {1, 2, 3}};
  const auto join = [&](int32_t position, TokenId token, bool sampled) {
    model::StepResult result{.epoch = 1, .step = 7};
    result.sequences.push_back({.sequence = 2,
                                .sampled = sampled,
                                .non_finite = model::NonFiniteRow{.position = position, .token = token}});
    return Join(plan, {ResultOf({1}), ResultOf({}), result});
  };
  const auto joined = join(42, 99, false);
  ASSERT_TRUE(joined.ok()) << joined.status();
  EXPECT_TRUE(joined->sequences[0].sampled);
  EXPECT_EQ(joined->sequences[1].non_finite, (model::NonFiniteRow{.position = 42, .token = 99, .rank = 2}));
  const auto error = [&](int32_t position, TokenId token, bool sampled) {
    return std::string(join(position, token, sampled).status().message());
  };
  const std::string name = "rank 2 answered step 7 for sequence 2 with ";
  EXPECT_EQ(error(39, 5, false), name + "a row that is not finite at position 39, which is not in the chunk");
  EXPECT_EQ(error(43, 5, false), name + "a row that is not finite at position 43, which is not in the chunk");
  EXPECT_EQ(error(42, 100, false),
            name + "an infinite or NaN logit of token 100, which is not in the vocabulary of 100");
  EXPECT_EQ(error(42, 5, true), name + "a token or log-probabilities from a row that is not finite");
}

TEST(JoinStepResultsTest, WhatDoesNotFitIsAnError) {
  const auto error = [](const model::StepPlan& plan, std::vector<model::StepResult> results) {
    const auto joined = Join(plan, std::move(results));
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
