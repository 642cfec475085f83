// Finishing, cancelling, prompt log-probabilities, and results that do not fit the plan.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>

#include "tests/unit/scheduler/scheduler_fixture.h"

namespace deeprack::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

TEST(Finish, AtAStopTokenWhichIsStillReported) {
  TestScheduler scheduler(SmallLimits(), 1);
  Request request = MakeRequest(10, 100);
  request.stop_token_ids = {3, 5};
  ASSERT_TRUE(scheduler.Add(1, request).ok());
  const auto events = RunToEnd(scheduler).at(1);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].token, 5);
  EXPECT_EQ(events[0].finish, FinishReason::kStop);
}

TEST(Finish, IgnoreEosGoesOnToMaxTokens) {
  TestScheduler scheduler(SmallLimits(), 1);
  Request request = MakeRequest(10, 7);
  request.stop_token_ids = {5};
  request.ignore_eos = true;
  ASSERT_TRUE(scheduler.Add(1, request).ok());
  const auto events = RunToEnd(scheduler).at(1);
  ASSERT_EQ(events.size(), 7u);
  for (size_t i = 0; i < 6; ++i) EXPECT_EQ(events[i].finish, FinishReason::kNone);
  EXPECT_EQ(events[6].finish, FinishReason::kLength);
}

// The stop tokens among the biased tokens, and their biases, while a sequence is below min_tokens.
TEST(MinTokens, StopTokensAreForbiddenUntilThen) {
  TestScheduler scheduler(SmallLimits(), 1);
  Request request = MakeRequest(10, 7);
  request.stop_token_ids = {5, 8};
  request.min_tokens = 2;
  request.sampling.logit_bias = {{3, 1.0f}, {8, 2.0f}};
  ASSERT_TRUE(scheduler.Add(1, request).ok());
  using Biases = std::vector<std::pair<TokenId, float>>;
  std::vector<Biases> seen;
  std::vector<TokenEvent> events;
  while (auto plan = scheduler.Plan()) {
    seen.push_back(plan->sequences[0].sampling.logit_bias);
    events.push_back(scheduler.Apply(Answer(*plan)).value().at(0));  // the model always says 5
  }
  const Biases forbidden = {{3, 1.0f}, {8, -1e30f}, {5, -1e30f}};
  const Biases as_asked = {{3, 1.0f}, {8, 2.0f}};
  EXPECT_THAT(seen, testing::ElementsAre(forbidden, forbidden, as_asked));
  ASSERT_EQ(events.size(), 3u);  // a 5 below min_tokens does not end the sequence
  EXPECT_EQ(events[1].finish, FinishReason::kNone);
  EXPECT_EQ(events[2].finish, FinishReason::kStop);
}

TEST(MinTokens, ChunksThatDrawNoTokenForbidNone) {
  TestScheduler scheduler(SmallLimits(), 1);
  Request request = MakeRequest(300, 1);
  request.stop_token_ids = {5};
  request.min_tokens = 1;
  ASSERT_TRUE(scheduler.Add(1, request).ok());
  const auto first = scheduler.Plan();
  EXPECT_TRUE(first->sequences[0].sampling.logit_bias.empty());
  ASSERT_TRUE(scheduler.Apply(Answer(*first)).ok());
  EXPECT_EQ(scheduler.Plan()->sequences[0].sampling.logit_bias.size(), 1u);
}

TEST(Finish, AtTheEndOfTheContextOrOfTheCache) {
  for (int32_t blocks : {16, 1}) {
    SchedulerLimits limits = SmallLimits();
    limits.max_context = 100;
    limits.blocks_per_dp_rank = blocks;
    TestScheduler scheduler(limits, 1);
    ASSERT_TRUE(scheduler.Add(1, MakeRequest(40, 1000)).ok());
    const auto events = RunToEnd(scheduler).at(1);
    EXPECT_EQ(events.size(), blocks == 1 ? 24u : 60u);
    EXPECT_EQ(events.back().finish, FinishReason::kLength);
  }
}

TEST(Finish, WithoutTokensWhenOnlyThePromptWasWanted) {
  TestScheduler scheduler(SmallLimits(), 1);
  Request request = MakeRequest(600, 0);
  request.prompt_logprobs = 2;
  ASSERT_TRUE(scheduler.Add(1, request).ok());
  const auto events = RunToEnd(scheduler).at(1);
  ASSERT_EQ(events.size(), 3u);  // one for each chunk: 256, 256 and 88 tokens
  size_t entries = 0;
  for (const auto& event : events) {
    EXPECT_FALSE(event.has_token);
    entries += event.prompt_logprobs.size();
  }
  EXPECT_EQ(entries, 599u);
  EXPECT_EQ(events.back().finish, FinishReason::kLength);
}

TEST(PromptLogprobs, AreComputedEvenWhereThePrefixIsCached) {
  TestScheduler scheduler(SmallLimits(), 1);
  ASSERT_TRUE(scheduler.Add(1, MakeRequest(200, 1)).ok());
  RunToEnd(scheduler);
  Request request = MakeRequest(200, 1);
  request.prompt_logprobs = 0;
  ASSERT_TRUE(scheduler.Add(2, request).ok());
  const auto events = RunToEnd(scheduler).at(2);
  EXPECT_EQ(events[0].prompt_logprobs.size(), 199u);
  EXPECT_EQ(events[0].cached_tokens, 0);
}

TEST(Cancel, OfAWaitingOrRestingSequenceEndsItAtOnce) {
  TestScheduler scheduler(SmallLimits(), 1);
  ASSERT_TRUE(scheduler.Add(1, MakeRequest(10, 10)).ok());
  EXPECT_EQ(scheduler.Cancel(1)->finish, FinishReason::kCancelled);
  EXPECT_TRUE(scheduler.idle());
  EXPECT_EQ(scheduler.Cancel(1), std::nullopt) << "unknown by now";

  ASSERT_TRUE(scheduler.Add(2, MakeRequest(10, 10)).ok());
  ASSERT_TRUE(scheduler.Apply(Answer(scheduler.Plan().value())).ok());
  EXPECT_EQ(scheduler.Stats().blocks_used, 1);
  EXPECT_EQ(scheduler.Cancel(2)->finish, FinishReason::kCancelled);
  EXPECT_EQ(scheduler.Stats().blocks_used, 0);
  EXPECT_FALSE(scheduler.Plan().has_value());
}

TEST(Cancel, WithinAStepKeepsTheBlocksUntilTheAnswer) {
  TestScheduler scheduler(SmallLimits(), 1);
  ASSERT_TRUE(scheduler.Add(1, MakeRequest(100, 10)).ok());
  const auto plan = scheduler.Plan().value();
  EXPECT_EQ(scheduler.Cancel(1)->finish, FinishReason::kCancelled);
  EXPECT_EQ(scheduler.Cancel(1), std::nullopt) << "it has ended";
  EXPECT_TRUE(scheduler.idle());
  EXPECT_EQ(scheduler.Stats().running, 0);
  EXPECT_EQ(scheduler.Stats().blocks_used, 2);
  EXPECT_THAT(scheduler.Apply(Answer(plan)).value(), IsEmpty());
  EXPECT_EQ(scheduler.Stats().blocks_used, 0);
}

// What a cancelled prompt has computed is there for the next one.
TEST(Cancel, WithinAStepLeavesItsPagesInThePrefixCache) {
  TestScheduler scheduler(SmallLimits(), 1);
  ASSERT_TRUE(scheduler.Add(1, MakeRequest(100, 10)).ok());
  const auto plan = scheduler.Plan().value();
  ASSERT_TRUE(scheduler.Cancel(1).has_value());
  ASSERT_TRUE(scheduler.Apply(Answer(plan)).ok());
  ASSERT_TRUE(scheduler.Add(2, MakeRequest(100, 1)).ok());
  EXPECT_EQ(RunToEnd(scheduler).at(2).back().cached_tokens, 64);
}

TEST(Abort, GivesEveryoneOneErrorAlsoWithinAStep) {
  TestScheduler scheduler(SmallLimits(), 1);
  ASSERT_TRUE(scheduler.Add(1, MakeRequest(10, 10, 1)).ok());
  ASSERT_TRUE(scheduler.Plan().has_value());
  ASSERT_TRUE(scheduler.Add(2, MakeRequest(10, 10, 2)).ok());
  const auto events = scheduler.Abort(absl::UnavailableError("rank 1 was lost"));
  ASSERT_EQ(events.size(), 2u);
  for (const auto& event : events) {
    EXPECT_EQ(event.finish, FinishReason::kError);
    EXPECT_EQ(event.error.message(), "rank 1 was lost");
  }
  EXPECT_TRUE(scheduler.idle());
  EXPECT_EQ(scheduler.Stats().blocks_used, 0);
  EXPECT_FALSE(scheduler.Plan().has_value());
}

// The pages of the first sequence are forgotten, also the pages that it found in the cache.
TEST(NonFinite, EndsItsSequenceAloneAndThePrefixCacheForgetsItsPages) {
  TestScheduler scheduler(SmallLimits(), 1);
  ASSERT_TRUE(scheduler.Add(1, MakeRequest(130, 1, 1)).ok());
  ASSERT_TRUE(scheduler.Add(2, MakeRequest(130, 1, 2)).ok());
  RunToEnd(scheduler);
  ASSERT_TRUE(scheduler.Add(3, MakeRequest(200, 5, 1)).ok());  // two pages found, a third is computed
  ASSERT_TRUE(scheduler.Add(4, MakeRequest(130, 3, 2)).ok());
  ResolvedResult answer = Answer(scheduler.Plan().value());
  answer.sequences[0].tokens.clear();
  answer.sequences[0].non_finite = {.position = 199, .token = 5, .rank = 3};
  const auto events = scheduler.Apply(answer).value();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].sequence, 3u);
  EXPECT_EQ(events[0].finish, FinishReason::kError);
  EXPECT_TRUE(events[0].non_finite);
  EXPECT_FALSE(events[0].has_token);
  EXPECT_EQ(events[0].cached_tokens, 128);
  EXPECT_EQ(events[0].error.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(events[0].error.message(),
            "no token can be drawn for this request: rank 3: the logits after position 199 are not finite "
            "(infinite "
            "or NaN), first that of token 5");
  EXPECT_EQ(events[1].sequence, 4u);
  EXPECT_TRUE(events[1].has_token);
  EXPECT_EQ(events[1].finish, FinishReason::kNone);
  EXPECT_EQ(RunToEnd(scheduler).at(4).back().finish, FinishReason::kLength);
  EXPECT_EQ(scheduler.Stats().non_finite_logits, 1);
  EXPECT_EQ(scheduler.Stats().blocks_used, 0);

  ASSERT_TRUE(scheduler.Add(5, MakeRequest(200, 1, 1)).ok());
  ASSERT_TRUE(scheduler.Add(6, MakeRequest(130, 1, 2)).ok());
  const auto later = RunToEnd(scheduler);
  EXPECT_EQ(later.at(5).back().cached_tokens, 0);
  EXPECT_EQ(later.at(6).back().cached_tokens, 128);
}

TEST(NonFinite, OfACancelledSequenceIsNobodysEvent) {
  TestScheduler scheduler(SmallLimits(), 1);
  ASSERT_TRUE(scheduler.Add(1, MakeRequest(10, 5)).ok());
  ResolvedResult answer = Answer(scheduler.Plan().value());
  answer.sequences[0].tokens.clear();
  answer.sequences[0].non_finite = {.position = 9};
  EXPECT_EQ(scheduler.Cancel(1)->finish, FinishReason::kCancelled);
  EXPECT_THAT(scheduler.Apply(answer).value(), IsEmpty());
  EXPECT_EQ(scheduler.Stats().blocks_used, 0);
}

// The pages that it published before are not found again.
TEST(NonFinite, OfACancelledSequenceForgetsItsPages) {
  TestScheduler scheduler(SmallLimits(), 1);
  Request request = MakeRequest(300, 5);
  request.prompt_logprobs = 0;
  ASSERT_TRUE(scheduler.Add(1, request).ok());
  ASSERT_TRUE(scheduler.Apply(Answer(scheduler.Plan().value())).ok());  // 256 tokens: 4 pages
  ResolvedResult answer = Answer(scheduler.Plan().value());
  answer.sequences[0] = {.sequence = 1, .non_finite = model::NonFiniteRow{.position = 299}};
  ASSERT_TRUE(scheduler.Cancel(1).has_value());
  ASSERT_TRUE(scheduler.Apply(answer).ok());
  ASSERT_TRUE(scheduler.Add(2, MakeRequest(300, 1)).ok());
  EXPECT_EQ(RunToEnd(scheduler).at(2).back().cached_tokens, 0);
}

// Four equal prompts of one page. Three of the pages are replaced by the first one's, and each of the
// sequences then takes a page that another one gave back.
TEST(Publish, PagesOfEqualPromptsChangeHandsWithinOnePlan) {
  TestScheduler scheduler(SmallLimits(), 1);
  for (SequenceId id = 1; id <= 4; ++id) ASSERT_TRUE(scheduler.Add(id, MakeRequest(64, 3)).ok());
  const auto events = RunToEnd(scheduler);  // fails if a table refuses a sequence
  for (SequenceId id = 1; id <= 4; ++id) EXPECT_EQ(events.at(id).back().finish, FinishReason::kLength);
  EXPECT_EQ(scheduler.Stats().blocks_used, 0);
}

// Its ranks still have the page that was replaced when it was cancelled.
TEST(Cancel, OfASequenceWhosePageWasReplacedTellsTheRanks) {
  SchedulerLimits limits = SmallLimits();
  limits.steps_under_way = 2;
  Scheduler scheduler(limits, 1);
  RankTables ranks(limits);
  for (SequenceId id = 1; id <= 2; ++id) ASSERT_TRUE(scheduler.Add(id, MakeRequest(70, 9)).ok());
  std::deque<model::StepPlan> under_way;
  const auto plan = [&] {
    while (auto next = scheduler.Plan()) under_way.push_back(*std::move(next));
  };
  const auto apply = [&] {
    const model::StepResult result = Answer(ranks.Begin(under_way.front())).Joined();
    under_way.pop_front();
    ASSERT_TRUE(scheduler.Apply(result).ok());
    ranks.Accept(result);
  };
  plan();
  apply();  // sequence 2's first page is replaced by sequence 1's
  ASSERT_TRUE(scheduler.Cancel(2).has_value());
  ASSERT_TRUE(scheduler.Add(3, MakeRequest(70, 9, 3)).ok());
  for (plan(); !under_way.empty(); plan()) apply();
  EXPECT_TRUE(scheduler.idle());
  EXPECT_EQ(scheduler.Stats().blocks_used, 0);
}

TEST(Refusal, EndsTheSequenceAtFaultAndTheOthersHaveTheirTokens) {
  TestScheduler scheduler(SmallLimits(), 1);
  ASSERT_TRUE(scheduler.Add(1, MakeRequest(100, 3, 1)).ok());
  ASSERT_TRUE(scheduler.Apply(Answer(scheduler.Plan().value())).ok());
  ASSERT_TRUE(scheduler.Add(2, MakeRequest(70, 3, 2)).ok());
  ASSERT_TRUE(scheduler.Add(3, MakeRequest(20, 3, 3)).ok());
  const auto plan = scheduler.Plan();
  EXPECT_THAT(Chunks(*plan), ElementsAre(Pair(1, 1), Pair(2, 70), Pair(3, 20)));
  ResolvedResult answer = Answer(*plan);
  answer.sequences[1].tokens.clear();
  answer.sequences[1].refused = "token 131 of 131";
  const auto events = scheduler.scheduler().Apply(answer.Joined()).value();
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0].sequence, 1u);
  EXPECT_TRUE(events[0].has_token);
  EXPECT_EQ(events[1].sequence, 2u);
  EXPECT_EQ(events[1].finish, FinishReason::kError);
  EXPECT_FALSE(events[1].non_finite);
  EXPECT_THAT(std::string(events[1].error.message()),
              HasSubstr("refused to compute this request (token 131 of 131)"));
  EXPECT_EQ(events[2].sequence, 3u);
  EXPECT_TRUE(events[2].has_token);
  EXPECT_EQ(scheduler.Stats().sequences_refused, 1);
  EXPECT_EQ(scheduler.Stats().running, 2);
  EXPECT_EQ(scheduler.Stats().blocks_used, 3);  // sequence 2's pages are free
}

class WrongAnswer : public ::testing::Test {
 protected:
  WrongAnswer() : scheduler_(SmallLimits(), 7) {
    Request request = MakeRequest(10, 2);
    request.prompt_logprobs = 0;
    EXPECT_TRUE(scheduler_.Add(1, request).ok());
    answer_ = Answer(scheduler_.Plan().value());
  }
  void ExpectRefused(const std::string& message) {
    const auto events = scheduler_.Apply(answer_);
    EXPECT_EQ(events.status().code(), absl::StatusCode::kInternal);
    EXPECT_THAT(events.status().message(), HasSubstr(message));
    EXPECT_EQ(scheduler_.steps_under_way(), 1);
  }
  TestScheduler scheduler_;
  ResolvedResult answer_;
};

TEST_F(WrongAnswer, OfAnotherEpoch) {
  answer_.epoch = 6;
  ExpectRefused("a result of epoch 6, step 1 came; that of epoch 7, step 1 was due");
}
TEST_F(WrongAnswer, OfAnotherStep) {
  answer_.step = 2;
  ExpectRefused("step 2 came");
}
TEST_F(WrongAnswer, WithASequenceMissing) {
  answer_.sequences.clear();
  ExpectRefused("gave dp group 0 1 sequences; its result has 0");
}
TEST_F(WrongAnswer, OfAnotherSequence) {
  answer_.sequences[0].sequence = 9;
  ExpectRefused("sequence 1 stands where sequence 9 has its result");
}
TEST_F(WrongAnswer, WithoutTheToken) {
  answer_.sequences[0].tokens.clear();
  ExpectRefused("sequence 1 has 0 tokens; 1 were due");
}
TEST_F(WrongAnswer, WithTooFewPromptLogprobs) {
  answer_.sequences[0].prompt_logprobs.pop_back();
  ExpectRefused("has 8 prompt log-probabilities; 9 were due");
}
TEST_F(WrongAnswer, TheSameTwice) {
  ASSERT_TRUE(scheduler_.Apply(answer_).ok());
  EXPECT_EQ(scheduler_.Apply(answer_).status().code(), absl::StatusCode::kInternal);
}

}  // namespace
}  // namespace deeprack::coordinator
