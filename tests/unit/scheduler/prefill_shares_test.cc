// A step's tokens of prompts, shared among prompts: the shares, and what a scheduler makes of them.
#include "coordinator/scheduler/prefill_shares.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "coordinator/scheduler/prefill_pace.h"
#include "tests/unit/scheduler/scheduler_fixture.h"

namespace deeprack::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<int32_t> Share(std::vector<PrefillDemand> demands, int32_t tokens) {
  return SharePrefillTokens(demands, tokens);
}

TEST(PrefillShares, OnePromptTakesAllTokens) {
  EXPECT_THAT(Share({}, 100), IsEmpty());
  EXPECT_THAT(Share({{0, 300}}, 100), ElementsAre(100));
  EXPECT_THAT(Share({{0, 30}}, 100), ElementsAre(30));
  EXPECT_THAT(Share({{0, 30}}, 0), ElementsAre(0));
}

TEST(PrefillShares, PromptsOfLikeLengthTakeTheirTurns) {
  EXPECT_THAT(Share({{0, 300}, {0, 151}, {0, 900}}, 100), ElementsAre(100, 0, 0));
  EXPECT_THAT(Share({{0, 60}, {0, 300}}, 100), ElementsAre(60, 40));
}

TEST(PrefillShares, ShortPromptsTakeHalfTheShortestFirst) {
  EXPECT_THAT(Share({{0, 1000}, {0, 400}}, 101), ElementsAre(51, 50));
  EXPECT_THAT(Share({{0, 1000}, {0, 400}, {0, 20}, {0, 500}}, 100), ElementsAre(50, 30, 20, 0));
  EXPECT_THAT(Share({{0, 1000}, {0, 40}, {0, 40}}, 100), ElementsAre(50, 40, 10));
  EXPECT_THAT(Share({{0, 1000}, {0, 5}}, 100), ElementsAre(95, 5)) << "a half that is not needed goes back";
  EXPECT_THAT(Share({{0, 1000}, {0, 5}}, 1), ElementsAre(1, 0));
}

// The half for short prompts and the order of service together give a prompt no more than it needs.
TEST(PrefillShares, WhatNobodyNeedsInOneHalfGoesOnInOrder) {
  EXPECT_THAT(Share({{0, 40}, {0, 20}, {0, 500}}, 100), ElementsAre(40, 20, 40));
}

TEST(PrefillShares, ALargerPriorityNumberIsNoShortPrompt) {
  EXPECT_THAT(Share({{-1, 1000}, {0, 5}}, 100), ElementsAre(100, 0));
  EXPECT_FALSE(IsShortBeside({-1, 1000}, {0, 5}));
  EXPECT_TRUE(IsShortBeside({0, 1000}, {0, 500}));
  EXPECT_FALSE(IsShortBeside({0, 1001}, {0, 501}));
  EXPECT_TRUE(IsShortBeside({0, 10}, {-1, 1000}));
}

// The bound of prefill_shares.h, for every prompt in every step of 300 random runs.
TEST(PrefillShares, EachStepServesThoseThatAPromptMayWaitFor) {
  std::mt19937_64 random(1);
  int64_t checked = 0;
  for (int run = 0; run < 300; ++run) {
    const auto tokens = static_cast<int32_t>(2 + random() % 200);
    std::vector<PrefillDemand> demands;
    for (int step = 0; step < 100; ++step) {
      if (demands.size() < 8 && random() % 2 == 0) {
        const auto size = static_cast<int32_t>(random() % 3 == 0 ? random() % 5000 : random() % 100);
        demands.push_back({static_cast<int64_t>(random() % 2), size + 1});
        std::stable_sort(demands.begin(), demands.end(),
                         [](const auto& a, const auto& b) { return a.priority < b.priority; });
      }
      if (demands.empty()) continue;
      const std::vector<int32_t> shares = SharePrefillTokens(demands, tokens);
      int64_t given = 0, wanted = 0;
      for (size_t i = 0; i < demands.size(); ++i) {
        ASSERT_GE(shares[i], 0);
        ASSERT_LE(shares[i], demands[i].tokens);
        given += shares[i];
        wanted += demands[i].tokens;
      }
      ASSERT_EQ(given, std::min<int64_t>(tokens, wanted));
      for (size_t i = 0; i < demands.size() && shares[0] < demands[0].tokens; ++i) {
        const PrefillDemand& own = demands[i];
        int64_t served = 0;
        for (size_t j = 0; j < demands.size(); ++j) {
          const bool waits_for =
              demands[j].priority < own.priority ||
              (demands[j].priority == own.priority &&
               (demands[j].tokens <= own.tokens || (j < i && demands[j].tokens < 2 * own.tokens)));
          if (waits_for) served += shares[j];
        }
        ASSERT_TRUE(served >= tokens / 2 || shares[i] == own.tokens) << "run " << run << ", prompt " << i;
        ++checked;
      }
      for (size_t i = demands.size(); i-- > 0;) {
        demands[i].tokens -= shares[i];
        if (demands[i].tokens == 0) demands.erase(demands.begin() + static_cast<std::ptrdiff_t>(i));
      }
    }
  }
  EXPECT_GT(checked, 10'000);
}

TEST(PrefillTokensBesideDecodes, GrowWithTheBacklog) {
  EXPECT_EQ(PrefillTokensBesideDecodes(0, 512), 512);
  EXPECT_EQ(PrefillTokensBesideDecodes(8192, 64), 64);
  EXPECT_EQ(PrefillTokensBesideDecodes(8193, 64), 65);
  EXPECT_EQ(PrefillTokensBesideDecodes(1'280'000, 512), 10'000);
  EXPECT_EQ(PrefillTokensBesideDecodes(int64_t{1} << 40, 1), INT32_MAX);
}

SchedulerLimits LongLimits() {
  SchedulerLimits limits = SmallLimits();
  limits.max_step_tokens = 2048;
  limits.max_context = 20'000;
  limits.blocks_per_dp_rank = 320;  // 20,480 tokens
  return limits;
}

std::map<SequenceId, int32_t> Step(TestScheduler& scheduler) {
  const auto plan = scheduler.Plan();
  if (!plan.has_value()) return {};
  EXPECT_TRUE(scheduler.Apply(Answer(*plan)).ok());
  return Chunks(*plan);
}

using ChunkMap = std::map<SequenceId, int32_t>;

TEST(PromptsBesideDecodes, APromptOf8KTakes512TokensOfEachStepWithDecodes) {
  TestScheduler scheduler(LongLimits(), 1);
  ASSERT_TRUE(scheduler.Add(1, MakeRequest(10, 100, 1)).ok());
  EXPECT_EQ(Step(scheduler), (ChunkMap{{1, 10}}));
  ASSERT_TRUE(scheduler.Add(2, MakeRequest(8192, 2, 2)).ok());
  for (int step = 0; step < 16; ++step) EXPECT_EQ(Step(scheduler), (ChunkMap{{1, 1}, {2, 512}}));
  EXPECT_EQ(Step(scheduler), (ChunkMap{{1, 1}, {2, 1}})) << "the prompt's second token";
}

TEST(PromptsBesideDecodes, WithoutDecodesAPromptTakesTheWholeStep) {
  TestScheduler scheduler(LongLimits(), 1);
  ASSERT_TRUE(scheduler.Add(1, MakeRequest(8192, 2, 2)).ok());
  for (int step = 0; step < 4; ++step) EXPECT_EQ(Step(scheduler), (ChunkMap{{1, 2048}}));
}

// The decodes are in group 0. Group 1 has none, and its chunks are limited, too: the step is one for all.
TEST(PromptsBesideDecodes, DecodesOfOneGroupLimitAllGroups) {
  SchedulerLimits limits = LongLimits();
  limits.dp = 2;
  TestScheduler scheduler(limits, 1);
  ASSERT_TRUE(scheduler.Add(1, MakeRequest(10, 100, 1)).ok());
  EXPECT_EQ(Step(scheduler), (ChunkMap{{1, 10}}));
  ASSERT_TRUE(scheduler.Add(2, MakeRequest(4000, 2, 2)).ok());
  const auto plan = scheduler.Plan();
  ASSERT_EQ(plan->sequences.size(), 2u);
  EXPECT_NE(plan->sequences[0].dp_rank, plan->sequences[1].dp_rank);
  EXPECT_EQ(Chunks(*plan), (ChunkMap{{1, 1}, {2, 512}}));
}

// 190,000 tokens wait: a part in 128 of them in the first step, then of the rest.
TEST(PromptsBesideDecodes, ALargeBacklogTakesLongerSteps) {
  TestScheduler scheduler(LongLimits(), 1);
  ASSERT_TRUE(scheduler.Add(1, MakeRequest(10, 100, 1)).ok());
  EXPECT_EQ(Step(scheduler), (ChunkMap{{1, 10}}));
  for (SequenceId id = 2; id < 12; ++id) ASSERT_TRUE(scheduler.Add(id, MakeRequest(19'000, 2, id)).ok());
  EXPECT_EQ(Step(scheduler), (ChunkMap{{1, 1}, {2, 1485}}));
  EXPECT_EQ(Step(scheduler), (ChunkMap{{1, 1}, {2, 1473}}));
}

// A step of decodes takes 60 ms on the slower rank, and a token of a prompt 0.1 ms more.
TEST(PromptsBesideDecodes, StepsKeepToThePaceThatTheRanksTell) {
  TestScheduler scheduler(LongLimits(), 1);
  const auto step = [&] {
    const auto plan = scheduler.Plan();
    const ChunkMap chunks = Chunks(*plan);
    ResolvedResult result = Answer(*plan);
    const auto prompt = chunks.find(2);
    const double seconds = 0.06 + (prompt == chunks.end() ? 0 : 1e-4 * prompt->second);
    result.rank_timings = {{.total_seconds = seconds / 2}, {.total_seconds = seconds}};
    EXPECT_TRUE(scheduler.Apply(result).ok());
    return chunks;
  };
  ASSERT_TRUE(scheduler.Add(1, MakeRequest(10, 200, 1)).ok());
  EXPECT_EQ(step(), (ChunkMap{{1, 10}}));
  EXPECT_EQ(step(), (ChunkMap{{1, 1}}));
  ASSERT_TRUE(scheduler.Add(2, MakeRequest(16'000, 2, 2)).ok());
  EXPECT_EQ(step(), (ChunkMap{{1, 1}, {2, 512}})) << "nothing is known yet";
  for (int i = 0; i < PrefillPace::kStepsBetweenLooks; ++i) {
    EXPECT_EQ(step(), (ChunkMap{{1, 1}, {2, 180}}));
  }
  EXPECT_EQ(step(), (ChunkMap{{1, 1}})) << "what decodes take alone";
  EXPECT_EQ(step(), (ChunkMap{{1, 1}, {2, 180}}));
}

TEST(PromptsBesideDecodes, AShortPromptGetsHalfOfTheStepsOfALongOne) {
  TestScheduler scheduler(LongLimits(), 1);
  ASSERT_TRUE(scheduler.Add(1, MakeRequest(16'000, 1, 1)).ok());
  EXPECT_EQ(Step(scheduler), (ChunkMap{{1, 2048}}));
  ASSERT_TRUE(scheduler.Add(2, MakeRequest(1500, 1, 9)).ok());
  EXPECT_EQ(Step(scheduler), (ChunkMap{{1, 2048}})) << "the short one is admitted";
  EXPECT_EQ(Step(scheduler), (ChunkMap{{1, 1024}, {2, 1024}}));
  EXPECT_EQ(Step(scheduler), (ChunkMap{{1, 1572}, {2, 476}})) << "the short one ends";
  EXPECT_EQ(Step(scheduler), (ChunkMap{{1, 2048}}));
}

// A long prompt stands before the short one in the queue, and waits for the first long one.
TEST(PromptsBesideDecodes, AShortPromptOvertakesALongOneThatWaitsForTokens) {
  SchedulerLimits limits = LongLimits();
  limits.blocks_per_dp_rank = 600;
  TestScheduler scheduler(limits, 1);
  ASSERT_TRUE(scheduler.Add(1, MakeRequest(16'000, 1, 1)).ok());
  ASSERT_TRUE(scheduler.Add(2, MakeRequest(16'000, 1, 3)).ok());
  EXPECT_EQ(Step(scheduler), (ChunkMap{{1, 2048}}));
  ASSERT_TRUE(scheduler.Add(3, MakeRequest(100, 1, 9)).ok());
  EXPECT_EQ(Step(scheduler), (ChunkMap{{1, 2048}}));
  EXPECT_EQ(Step(scheduler), (ChunkMap{{1, 1948}, {3, 100}}));
}

// Each long prompt takes 250 pages, the short one 79.
TEST(PromptsBesideDecodes, NoSequenceTakesPagesThatTheHeadOfTheQueueCouldHave) {
  for (const int32_t blocks : {250 + 250 + 78, 250 + 250 + 79}) {
    SchedulerLimits limits = LongLimits();
    limits.blocks_per_dp_rank = blocks;
    TestScheduler scheduler(limits, 1);
    ASSERT_TRUE(scheduler.Add(1, MakeRequest(16'000, 1, 1)).ok());
    ASSERT_TRUE(scheduler.Add(2, MakeRequest(16'000, 1, 3)).ok());
    ASSERT_TRUE(scheduler.Add(3, MakeRequest(5'000, 1, 9)).ok());
    for (int step = 0; step < 2; ++step) EXPECT_EQ(Step(scheduler), (ChunkMap{{1, 2048}}));
    EXPECT_EQ(scheduler.Stats().waiting, blocks == 578 ? 2 : 1);
  }
}

// The second prompt is the first one again. It waits until it finds the first one's pages.
TEST(PromptsBesideDecodes, TheSamePromptIsNotComputedTwice) {
  TestScheduler scheduler(LongLimits(), 1);
  ASSERT_TRUE(scheduler.Add(1, MakeRequest(8190, 1, 1)).ok());
  ASSERT_TRUE(scheduler.Add(2, MakeRequest(8190, 1, 1)).ok());
  for (int step = 0; step < 3; ++step) EXPECT_EQ(Step(scheduler), (ChunkMap{{1, 2048}}));
  EXPECT_EQ(Step(scheduler), (ChunkMap{{1, 2046}, {2, 2}}));
  EXPECT_EQ(scheduler.Stats().prefix_cache_hits, 6144);
}

}  // namespace
}  // namespace deeprack::coordinator
