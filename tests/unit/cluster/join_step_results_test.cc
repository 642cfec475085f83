#include "coordinator/dispatch/join_step_results.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace deeprack::coordinator {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr int32_t kVocabulary = 100;

// Ranks 0 and 1 are dp group 0 of the first stage, ranks 4 and 6 draw.
const model::Layout kLayout = {.tp = 2, .dp = 2, .ep = 1, .pp = 2};
constexpr Rank kDraws[] = {4, 6};

absl::StatusOr<model::StepResult> Join(std::vector<model::RankResult> by_rank,
                                       const model::Layout& layout = kLayout) {
  return JoinStepResults({.epoch = 1, .step = 7}, std::move(by_rank), layout, kVocabulary);
}

model::RankResult ResultOf(std::vector<SequenceId> sequences, double seconds = 0) {
  model::RankResult result{.epoch = 1, .step = 7, .timings = {seconds, seconds / 2}};
  for (SequenceId id : sequences) {
    result.sequences.push_back({.sequence = id, .tokens = {static_cast<TokenId>(id * 10)}});
  }
  return result;
}

std::vector<model::RankResult> AllRanks() {
  std::vector<model::RankResult> by_rank;
  for (Rank rank = 0; rank < kLayout.world_size(); ++rank) by_rank.push_back(ResultOf({}, rank));
  return by_rank;
}

TEST(JoinStepResultsTest, EachGroupsResultsComeFromTheRankThatDraws) {
  std::vector<model::RankResult> by_rank = AllRanks();
  by_rank[kDraws[0]] = ResultOf({3, 1}, 0.5);
  by_rank[kDraws[1]] = ResultOf({2}, 1.0);
  const auto joined = Join(std::move(by_rank));
  ASSERT_TRUE(joined.ok()) << joined.status();
  EXPECT_EQ(joined->step, 7u);
  ASSERT_EQ(joined->groups.size(), 2u);
  EXPECT_EQ(joined->groups[0], ResultOf({3, 1}).sequences);
  EXPECT_EQ(joined->groups[1], ResultOf({2}).sequences);
  ASSERT_EQ(joined->rank_timings.size(), 8u);
  EXPECT_EQ(joined->rank_timings[3].total_seconds, 3.0);
  EXPECT_EQ(joined->rank_timings[4].collective_seconds, 0.25);
}

TEST(JoinStepResultsTest, AGroupWithoutSequencesHasNoResults) {
  const auto joined = Join(AllRanks());
  ASSERT_TRUE(joined.ok());
  EXPECT_THAT(joined->groups[0], IsEmpty());
  EXPECT_THAT(joined->groups[1], IsEmpty());
}

TEST(JoinStepResultsTest, ATokenOutsideTheVocabularyNamesRankStepAndSequence) {
  const auto error = [&](const model::SequenceResult& answer) {
    const auto joined = Join({{.epoch = 1, .step = 7, .sequences = {answer}}}, {});
    EXPECT_TRUE(joined.ok() || absl::IsInternal(joined.status()));
    return std::string(joined.status().message());
  };
  const model::SequenceResult good = {
      .sequence = 1,
      .tokens = {kVocabulary - 1, 0},
      .logprobs = {{.chosen = {99, -1.0f}, .top = {{0, -0.5f}, {99, -1.0f}}}},
      .prompt_logprobs = {{.chosen = {2, -1.0f}, .top = {{5, -0.1f}}}, {.chosen = {3, -1.0f}}}};
  EXPECT_EQ(error(good), "");
  for (const TokenId bad : {-1, kVocabulary, INT32_MAX, INT32_MIN}) {
    const std::string message = "rank 0 answered step 7 for sequence 1 with token " + std::to_string(bad) +
                                ", which is not in the vocabulary of 100";
    model::SequenceResult answer = good;
    answer.tokens[1] = bad;
    EXPECT_EQ(error(answer), message);
    answer = good;
    answer.logprobs[0].chosen.token = bad;
    EXPECT_EQ(error(answer), message);
    answer = good;
    answer.logprobs[0].top[1].token = bad;
    EXPECT_EQ(error(answer), message);
    answer = good;
    answer.prompt_logprobs[1].chosen.token = bad;
    EXPECT_EQ(error(answer), message);
    answer = good;
    answer.prompt_logprobs[0].top[0].token = bad;
    EXPECT_EQ(error(answer), message);
    answer = {.sequence = 1, .non_finite = model::NonFiniteRow{.token = bad}};
    EXPECT_EQ(error(answer), message);
  }
}

TEST(JoinStepResultsTest, ARowThatIsNotFiniteNamesTheRankThatDrew) {
  std::vector<model::RankResult> by_rank = AllRanks();
  by_rank[kDraws[1]].sequences = {
      {.sequence = 2, .non_finite = model::NonFiniteRow{.position = 42, .token = 99}}};
  const auto joined = Join(std::move(by_rank));
  ASSERT_TRUE(joined.ok()) << joined.status();
  EXPECT_EQ(joined->groups[1][0].non_finite, (model::NonFiniteRow{.position = 42, .token = 99, .rank = 6}));
}

TEST(JoinStepResultsTest, WhatDoesNotFitIsAnError) {
  const auto error = [](Rank rank, const model::RankResult& result) {
    std::vector<model::RankResult> by_rank = AllRanks();
    by_rank[rank] = result;
    const auto joined = Join(std::move(by_rank));
    EXPECT_TRUE(absl::IsInternal(joined.status()));
    return std::string(joined.status().message());
  };
  EXPECT_THAT(error(5, ResultOf({9})),
              HasSubstr("rank 5 answered step 7 for sequence 9, for which another rank draws"));
  EXPECT_THAT(error(0, ResultOf({9})), HasSubstr("for which another rank draws")) << "another stage";
  model::RankResult stale = ResultOf({});
  stale.step = 6;
  EXPECT_THAT(error(3, stale),
              HasSubstr("rank 3 answered step 6 of epoch 1 when asked for step 7 of epoch 1"));
  stale = ResultOf({});
  stale.epoch = 2;
  EXPECT_THAT(error(3, stale), HasSubstr("rank 3 answered step 7 of epoch 2"));
}

}  // namespace
}  // namespace deeprack::coordinator
