#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/scheduler/scheduler_fixture.h"

namespace deeprack::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

const absl::Status kLost = absl::UnavailableError("rank 1 was lost");

TokenId ByPosition(const SequencePlan& plan) {
  return 1000 + plan.num_computed + static_cast<int32_t>(plan.token_ids.size());
}

// The ranks break in a step, and new ranks take their place.
std::vector<TokenEvent> BreakStep(TestScheduler& scheduler, Epoch epoch, int32_t blocks = 16) {
  EXPECT_TRUE(scheduler.Plan().has_value());
  std::vector<TokenEvent> events = scheduler.Interrupt(kLost);
  for (TokenEvent& event : scheduler.Resume(epoch, blocks, 1)) events.push_back(std::move(event));
  return events;
}

std::vector<SequenceId> NextStep(TestScheduler& scheduler) {
  std::vector<SequenceId> ids;
  const auto plan = scheduler.Plan();
  if (!plan.has_value()) return ids;
  for (const SequencePlan& sequence : plan->sequences) ids.push_back(sequence.sequence);
  EXPECT_TRUE(scheduler.Apply(Answer(*plan)).ok());
  return ids;
}

TEST(Interrupt, EverySequenceIsReplayedInOrderOfArrivalUnderTheNewEpoch) {
  TestScheduler scheduler(SmallLimits(), 1);
  ASSERT_TRUE(scheduler.Add(1, MakeRequest(100, 3, 1)).ok());
  ASSERT_TRUE(scheduler.Add(2, MakeRequest(100, 3, 2)).ok());
  std::map<SequenceId, std::vector<TokenId>> output;
  const auto take = [&](const ResolvedPlan& plan) {
    const auto events = scheduler.Apply(Answer(plan, ByPosition)).value();
    for (const TokenEvent& event : events) output[event.sequence].push_back(event.token);
  };
  take(*scheduler.Plan());
  const auto broken = scheduler.Plan();
  EXPECT_THAT(Chunks(*broken), ElementsAre(Pair(1, 1), Pair(2, 1)));
  EXPECT_THAT(scheduler.Interrupt(kLost), IsEmpty());
  EXPECT_TRUE(scheduler.interrupted());
  EXPECT_EQ(scheduler.Stats().blocks_used, 0);
  EXPECT_EQ(scheduler.Stats().waiting, 2);
  EXPECT_THAT(scheduler.Resume(5, 16, 1), IsEmpty());

  auto plan = scheduler.Plan();
  EXPECT_EQ(plan->epoch, 5u);
  EXPECT_EQ(plan->step, 1u);
  // The caches of the new ranks are empty.
  EXPECT_THAT(Chunks(*plan), ElementsAre(Pair(1, 101), Pair(2, 101)));
  EXPECT_FALSE(scheduler.Apply(Answer(*broken)).ok()) << "a late answer of the old epoch";
  for (; plan.has_value(); plan = scheduler.Plan()) take(*plan);
  EXPECT_THAT(output[1], ElementsAre(1100, 1101, 1102));
  EXPECT_EQ(output[2], output[1]);
  EXPECT_EQ(scheduler.Stats().prompt_tokens, 200);
  EXPECT_EQ(scheduler.Stats().generation_tokens, 6);
  EXPECT_EQ(scheduler.Stats().preemptions, 0);
}

TEST(Interrupt, SequencesGoOnWithAnotherNumberOfDpGroups) {
  SchedulerLimits limits = SmallLimits();
  limits.dp = 2;
  TestScheduler scheduler(limits, 1);
  for (SequenceId id = 1; id <= 2; ++id) ASSERT_TRUE(scheduler.Add(id, MakeRequest(100, 4, id)).ok());
  std::map<SequenceId, std::vector<TokenId>> output;
  Epoch epoch = 1;
  for (const int32_t dp : {2, 1, 3}) {
    if (dp != limits.dp) {
      EXPECT_THAT(scheduler.Interrupt(kLost), IsEmpty());  // between two steps
      EXPECT_THAT(scheduler.Resume(++epoch, 16, dp), IsEmpty());
      limits.dp = dp;
    }
    const auto plan = scheduler.Plan();
    ASSERT_TRUE(plan.has_value());
    std::set<int32_t> groups;
    for (const SequencePlan& sequence : plan->sequences) groups.insert(sequence.dp_rank);
    EXPECT_EQ(plan->sequences.size(), 2u);
    EXPECT_EQ(groups, dp == 1 ? std::set<int32_t>({0}) : std::set<int32_t>({0, 1}));
    const auto events = scheduler.Apply(Answer(*plan, ByPosition)).value();
    for (const TokenEvent& event : events) output[event.sequence].push_back(event.token);
  }
  EXPECT_THAT(output[1], ElementsAre(1100, 1101, 1102));
  EXPECT_EQ(output[2], output[1]);
}

TEST(Interrupt, CancelledSequencesEndAtOnce) {
  TestScheduler scheduler(SmallLimits(), 1);
  for (SequenceId id = 1; id <= 2; ++id) ASSERT_TRUE(scheduler.Add(id, MakeRequest(10, 5)).ok());
  ASSERT_TRUE(scheduler.Plan().has_value());
  EXPECT_EQ(scheduler.Cancel(1)->finish, FinishReason::kCancelled);
  EXPECT_THAT(scheduler.Interrupt(kLost), IsEmpty());
  EXPECT_EQ(scheduler.Cancel(2)->finish, FinishReason::kCancelled);  // while there are no ranks
  EXPECT_TRUE(scheduler.idle());
}

TEST(Interrupt, WhatThePrefixCacheGaveBeforeStaysTold) {
  TestScheduler scheduler(SmallLimits(), 1);
  ASSERT_TRUE(scheduler.Add(1, MakeRequest(130, 1)).ok());
  RunToEnd(scheduler);
  ASSERT_TRUE(scheduler.Add(2, MakeRequest(130, 2)).ok());
  BreakStep(scheduler, 2);
  const auto events = RunToEnd(scheduler);
  EXPECT_EQ(events.at(2).back().cached_tokens, 128);
  EXPECT_EQ(scheduler.Stats().prefix_cache_queries, 260);
  EXPECT_EQ(scheduler.Stats().prefix_cache_hits, 128);
}

TEST(Interrupt, WithFewerPagesTheLongEndAndTheOthersGoOn) {
  TestScheduler scheduler(SmallLimits(), 1);
  ASSERT_TRUE(scheduler.Add(1, MakeRequest(128, 100, 1)).ok());  // has 129 tokens after one step
  ASSERT_TRUE(scheduler.Add(2, MakeRequest(127, 100, 2)).ok());  // has 128 tokens then, which fill two pages
  ASSERT_TRUE(scheduler.Add(3, MakeRequest(100, 100, 3)).ok());
  EXPECT_THAT(NextStep(scheduler), ElementsAre(1, 2, 3));
  const auto events = BreakStep(scheduler, 2, /*blocks=*/2);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].sequence, 1u);
  EXPECT_EQ(events[0].finish, FinishReason::kError);
  EXPECT_THAT(std::string(events[0].error.message()), HasSubstr("holds 128 tokens; this sequence has 129"));
  EXPECT_EQ(events[1].sequence, 2u);
  EXPECT_EQ(events[1].finish, FinishReason::kLength);
  const auto rest = RunToEnd(scheduler);
  EXPECT_EQ(rest.at(3).size(), 28u);  // until the sequence has 128 tokens
  EXPECT_EQ(rest.at(3).back().finish, FinishReason::kLength);
}

TEST(Interrupt, TwoBrokenStepsMakeSuspectsThatRunAlone) {
  TestScheduler scheduler(SmallLimits(), 1);
  for (SequenceId id = 1; id <= 2; ++id) ASSERT_TRUE(scheduler.Add(id, MakeRequest(10, 5)).ok());
  EXPECT_THAT(BreakStep(scheduler, 2), IsEmpty());
  EXPECT_THAT(BreakStep(scheduler, 3), IsEmpty());
  ASSERT_TRUE(scheduler.Add(3, MakeRequest(10, 5)).ok());
  EXPECT_THAT(NextStep(scheduler), ElementsAre(1));  // sequence 1 computes its prompt
  EXPECT_THAT(NextStep(scheduler), ElementsAre(1));  // sequence 1 decodes a token
  EXPECT_THAT(NextStep(scheduler), ElementsAre(2));
  EXPECT_THAT(NextStep(scheduler), ElementsAre(2));
  EXPECT_THAT(NextStep(scheduler), ElementsAre(1, 2, 3));
  const auto events = RunToEnd(scheduler);
  for (SequenceId id = 1; id <= 3; ++id) EXPECT_EQ(events.at(id).back().finish, FinishReason::kLength);
}

TEST(Interrupt, WhoBreaksThreeStepsInARowEndsAndTheOthersGoOn) {
  TestScheduler scheduler(SmallLimits(), 1);
  for (SequenceId id = 1; id <= 3; ++id) ASSERT_TRUE(scheduler.Add(id, MakeRequest(10, 5)).ok());
  BreakStep(scheduler, 2);
  BreakStep(scheduler, 3);
  NextStep(scheduler);  // sequence 1 does not break its step
  NextStep(scheduler);
  const auto events = BreakStep(scheduler, 4);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].sequence, 2u);
  EXPECT_EQ(events[0].finish, FinishReason::kError);
  EXPECT_THAT(std::string(events[0].error.message()), HasSubstr("3 steps in a row"));
  EXPECT_THAT(std::string(events[0].error.message()), HasSubstr("rank 1 was lost"));
  const auto rest = RunToEnd(scheduler);
  EXPECT_EQ(rest.at(1).back().finish, FinishReason::kLength);
  EXPECT_EQ(rest.at(3).back().finish, FinishReason::kLength);
  EXPECT_EQ(scheduler.Stats().blocks_used, 0);
}

TEST(Interrupt, ADecodedTokenClearsAndIdleLossesCountForNobody) {
  TestScheduler scheduler(SmallLimits(), 1);
  ASSERT_TRUE(scheduler.Add(1, MakeRequest(10, 50)).ok());
  for (Epoch epoch = 2; epoch <= 12; ++epoch) {
    EXPECT_THAT(BreakStep(scheduler, epoch), IsEmpty());
    NextStep(scheduler);
    NextStep(scheduler);
  }
  for (Epoch epoch = 13; epoch <= 20; ++epoch) {
    EXPECT_THAT(scheduler.Interrupt(kLost), IsEmpty());
    EXPECT_THAT(scheduler.Resume(epoch, 16, 1), IsEmpty());
  }
  EXPECT_EQ(RunToEnd(scheduler).at(1).back().finish, FinishReason::kLength);
}

TEST(Interrupt, ASuspectTakesThePagesItNeeds) {
  SchedulerLimits limits = SmallLimits();
  limits.blocks_per_dp_rank = 4;
  TestScheduler scheduler(limits, 1);
  ASSERT_TRUE(scheduler.Add(1, MakeRequest(120, 20, 1)).ok());  // each sequence needs three pages at its end
  ASSERT_TRUE(scheduler.Add(2, MakeRequest(126, 20, 2)).ok());
  BreakStep(scheduler, 2, 4);
  BreakStep(scheduler, 3, 4);
  const auto events = RunToEnd(scheduler);
  EXPECT_EQ(events.at(1).size(), 20u);
  EXPECT_EQ(events.at(2).size(), 20u);
  EXPECT_EQ(scheduler.Stats().blocks_used, 0);
}

}  // namespace
}  // namespace deeprack::coordinator
