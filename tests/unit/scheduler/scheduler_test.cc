// Admission, chunking, placement, prefix reuse.
#include "coordinator/scheduler/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/scheduler/scheduler_fixture.h"

namespace deeprack::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

TEST(CheckRequest, RefusesWhatCanNeverRunAndSaysTheNumbers) {
  const SchedulerLimits limits = SmallLimits();
  EXPECT_TRUE(CheckRequest(limits, MakeRequest(1023, 1)).ok());
  EXPECT_TRUE(CheckRequest(limits, MakeRequest(1024, 0)).ok());
  const absl::Status too_long = CheckRequest(limits, MakeRequest(1024, 1));
  EXPECT_EQ(too_long.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(too_long.message(), HasSubstr("has 1024 tokens; the maximum context length is 1024"));

  SchedulerLimits small_cache = limits;
  small_cache.blocks_per_dp_rank = 2;
  const absl::Status too_big = CheckRequest(small_cache, MakeRequest(129, 0));
  EXPECT_EQ(too_big.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(too_big.message(), HasSubstr("129 tokens; the KV cache holds 128 (2 pages"));

  EXPECT_FALSE(CheckRequest(limits, MakeRequest(0, 1)).ok());
  EXPECT_FALSE(CheckRequest(limits, MakeRequest(1, -1)).ok());
}

TEST(Scheduler, PlansNothingWhenThereIsNothing) {
  TestScheduler scheduler(SmallLimits(), 1);
  EXPECT_FALSE(scheduler.Plan().has_value());
  EXPECT_TRUE(scheduler.idle());
}

TEST(Scheduler, PrefillsThenDecodes) {
  TestScheduler scheduler(SmallLimits(), 3);
  ASSERT_TRUE(scheduler.Add(1, MakeRequest(70, 3)).ok());

  auto plan = scheduler.Plan().value();
  EXPECT_EQ(plan.epoch, 3u);
  ASSERT_EQ(plan.sequences.size(), 1u);
  EXPECT_EQ(plan.sequences[0].token_ids, MakeRequest(70, 3).prompt);
  EXPECT_EQ(plan.sequences[0].block_table.size(), 2u);
  EXPECT_TRUE(plan.sequences[0].sample);
  auto events = scheduler.Apply(Answer(plan)).value();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_TRUE(events[0].has_token);

  plan = scheduler.Plan().value();
  EXPECT_EQ(plan.sequences[0].num_computed, 70);
  EXPECT_THAT(plan.sequences[0].token_ids, ElementsAre(5));
}

TEST(Scheduler, CutsALongPromptIntoChunksAndSamplesAfterTheLast) {
  TestScheduler scheduler(SmallLimits(), 1);
  ASSERT_TRUE(scheduler.Add(1, MakeRequest(600, 1)).ok());
  std::vector<int32_t> starts, sizes;
  std::vector<bool> samples;
  while (auto plan = scheduler.Plan()) {
    starts.push_back(plan->sequences[0].num_computed);
    sizes.push_back(plan->sequences[0].token_ids.size());
    samples.push_back(plan->sequences[0].sample);
    // The block table covers exactly the computed positions.
    EXPECT_EQ(plan->sequences[0].block_table.size(),
              static_cast<size_t>(BlocksFor(starts.back() + sizes.back())));
    ASSERT_TRUE(scheduler.Apply(Answer(*plan)).ok());
  }
  EXPECT_THAT(starts, ElementsAre(0, 256, 512));
  EXPECT_THAT(sizes, ElementsAre(256, 256, 88));
  EXPECT_THAT(samples, ElementsAre(false, false, true));
}

TEST(Scheduler, DecodesComeBeforePrefill) {
  TestScheduler scheduler(SmallLimits(), 1);
  ASSERT_TRUE(scheduler.Add(1, MakeRequest(10, 100)).ok());
  ASSERT_TRUE(scheduler.Apply(Answer(scheduler.Plan().value())).ok());
  ASSERT_TRUE(scheduler.Add(2, MakeRequest(700, 1, 1)).ok());
  ASSERT_TRUE(scheduler.Add(3, MakeRequest(20, 1, 2)).ok());
  std::vector<std::map<SequenceId, int32_t>> chunks;
  for (int step = 0; step < 3; ++step) {
    const auto plan = scheduler.Plan().value();
    chunks.push_back(Chunks(plan));
    ASSERT_TRUE(scheduler.Apply(Answer(plan)).ok());
  }
  EXPECT_THAT(chunks[0], ElementsAre(Pair(1, 1), Pair(2, 255)));
  EXPECT_THAT(chunks[1], ElementsAre(Pair(1, 1), Pair(2, 255)));
  EXPECT_THAT(chunks[2], ElementsAre(Pair(1, 1), Pair(2, 190), Pair(3, 20)));
}

TEST(Scheduler, APrefillAdvancesBesideAsManyDecodesAsMayRun) {
  SchedulerLimits limits = SmallLimits();
  limits.max_step_tokens = 4;
  TestScheduler scheduler(limits, 1);
  for (SequenceId id = 1; id <= 3; ++id) ASSERT_TRUE(scheduler.Add(id, MakeRequest(1, 50, id)).ok());
  ASSERT_TRUE(scheduler.Apply(Answer(scheduler.Plan().value())).ok());
  ASSERT_TRUE(scheduler.Add(4, MakeRequest(6, 1, 4)).ok());
  ASSERT_TRUE(scheduler.Add(5, MakeRequest(1, 1, 5)).ok());
  for (int step = 0; step < 6; ++step) {
    const auto plan = scheduler.Plan().value();
    EXPECT_THAT(Chunks(plan), ElementsAre(Pair(1, 1), Pair(2, 1), Pair(3, 1), Pair(4, 1))) << step;
    ASSERT_TRUE(scheduler.Apply(Answer(plan)).ok());
  }
}

TEST(Scheduler, NobodyOvertakesTheHeadOfTheQueue) {
  SchedulerLimits limits = SmallLimits();
  limits.blocks_per_dp_rank = 4;
  TestScheduler scheduler(limits, 1);
  ASSERT_TRUE(scheduler.Add(1, MakeRequest(100, 5)).ok());     // 2 blocks
  ASSERT_TRUE(scheduler.Add(2, MakeRequest(190, 1, 1)).ok());  // 3 blocks: must wait for sequence 1
  ASSERT_TRUE(scheduler.Add(3, MakeRequest(10, 1, 2)).ok());   // would fit at once
  for (int step = 0; step < 5; ++step) {
    const auto plan = scheduler.Plan().value();
    EXPECT_EQ(plan.sequences.size(), 1u);
    ASSERT_TRUE(scheduler.Apply(Answer(plan)).ok());
  }
  EXPECT_THAT(Chunks(scheduler.Plan().value()), ElementsAre(Pair(2, 190), Pair(3, 10)));
}

TEST(Scheduler, RunsNoMoreSequencesThanItMay) {
  SchedulerLimits limits = SmallLimits();
  limits.max_sequences = 2;
  TestScheduler scheduler(limits, 1);
  for (SequenceId id = 1; id <= 3; ++id) ASSERT_TRUE(scheduler.Add(id, MakeRequest(10, 2, id)).ok());
  EXPECT_EQ(scheduler.Plan().value().sequences.size(), 2u);
  EXPECT_EQ(scheduler.Stats().running, 2);
  EXPECT_EQ(scheduler.Stats().waiting, 1);
}

TEST(Scheduler, EachGroupRunsAsManySequencesAsItMay) {
  SchedulerLimits limits = SmallLimits();
  limits.max_sequences = 2;
  limits.dp = 3;
  TestScheduler scheduler(limits, 1);
  for (SequenceId id = 1; id <= 8; ++id) ASSERT_TRUE(scheduler.Add(id, MakeRequest(10, 2, id)).ok());
  std::map<int32_t, int> by_group;
  const auto plan = scheduler.Plan().value();
  for (const SequencePlan& sequence : plan.sequences) ++by_group[sequence.dp_rank];
  EXPECT_THAT(by_group, ElementsAre(Pair(0, 2), Pair(1, 2), Pair(2, 2)));
  EXPECT_EQ(scheduler.Stats().running, 6);
  EXPECT_EQ(scheduler.Stats().waiting, 2);
}

TEST(Scheduler, SpreadsOverGroupsByRoom) {
  SchedulerLimits limits = SmallLimits();
  limits.dp = 2;
  TestScheduler scheduler(limits, 1);
  ASSERT_TRUE(scheduler.Add(1, MakeRequest(200, 9, 1)).ok());
  ASSERT_TRUE(scheduler.Add(2, MakeRequest(10, 9, 2)).ok());
  ASSERT_TRUE(scheduler.Add(3, MakeRequest(10, 9, 3)).ok());
  const auto plan = scheduler.Plan().value();
  ASSERT_EQ(plan.sequences.size(), 3u);
  EXPECT_EQ(plan.sequences[0].dp_rank, 0);
  EXPECT_EQ(plan.sequences[1].dp_rank, 1);
  EXPECT_EQ(plan.sequences[2].dp_rank, 1);
}

TEST(Scheduler, GoesWhereItsPrefixIsUnlessThatGroupIsTooFull) {
  SchedulerLimits limits = SmallLimits();
  limits.dp = 2;
  limits.max_step_tokens = 1024;
  TestScheduler scheduler(limits, 1);
  ASSERT_TRUE(scheduler.Add(1, MakeRequest(10, 100, 1)).ok());        // group 0
  ASSERT_TRUE(scheduler.Add(2, MakeRequest(4 * 64 + 1, 1, 2)).ok());  // group 1, where four pages stay cached
  ASSERT_TRUE(scheduler.Apply(Answer(scheduler.Plan().value())).ok());
  ASSERT_TRUE(scheduler.Add(3, MakeRequest(4 * 64 + 1, 100, 2)).ok());
  auto plan = scheduler.Plan().value();
  EXPECT_THAT(Chunks(plan), ElementsAre(Pair(1, 1), Pair(3, 1)));
  EXPECT_EQ(plan.sequences[1].dp_rank, 1);
  EXPECT_EQ(plan.sequences[1].num_computed, 256);
  ASSERT_TRUE(scheduler.Apply(Answer(plan)).ok());
  // Fill group 1, so that its cached pages count less than its load.
  ASSERT_TRUE(scheduler.Add(4, MakeRequest(4 * 64, 100, 2)).ok());
  plan = scheduler.Plan().value();
  EXPECT_EQ(plan.sequences[1].sequence, 4u);
  EXPECT_EQ(plan.sequences[1].dp_rank, 0) << "3 cached pages + 11 free there, 15 free here";
}

TEST(Scheduler, ReusesPromptAndOutputOfAnEarlierTurn) {
  TestScheduler scheduler(SmallLimits(), 1);
  ASSERT_TRUE(scheduler.Add(1, MakeRequest(60, 10)).ok());
  RunToEnd(scheduler);
  Request next = MakeRequest(60, 4);
  // The answer to the first request, and a new question.
  next.prompt.insert(next.prompt.end(), {5, 5, 5, 5, 5, 5});
  ASSERT_TRUE(scheduler.Add(2, next).ok());
  const auto plan = scheduler.Plan().value();
  EXPECT_EQ(plan.sequences[0].num_computed, 64);
  EXPECT_EQ(plan.sequences[0].token_ids.size(), 2u);
  const auto events = scheduler.Apply(Answer(plan)).value();
  EXPECT_EQ(events[0].cached_tokens, 64);
  EXPECT_EQ(scheduler.Stats().prefix_cache_hits, 64);
  EXPECT_EQ(scheduler.Stats().prefix_cache_queries, 60 + 66);
}

// As the test before, but with prompts that are expanded. The request finds only the prompt's page, because
// the output's page was computed in another form than a prompt's page.
TEST(Scheduler, OutputIsNoPrefixWherePromptsAreExpanded) {
  SchedulerLimits limits = SmallLimits();
  limits.prefill_attention = model::PrefillAttention::kExpanded;
  TestScheduler scheduler(limits, 1);
  ASSERT_TRUE(scheduler.Add(1, MakeRequest(100, 60)).ok());
  RunToEnd(scheduler);
  Request next = MakeRequest(100, 4);
  next.prompt.insert(next.prompt.end(), 61, 5);  // the answer to the first request, and a new question
  ASSERT_TRUE(scheduler.Add(2, next).ok());
  const auto plan = scheduler.Plan().value();
  EXPECT_EQ(plan.sequences[0].prompt_size, 161);
  EXPECT_EQ(plan.sequences[0].num_computed, 64) << "the page that lies wholly within the first prompt";
  ASSERT_TRUE(scheduler.Apply(Answer(plan)).ok());
}

TEST(Scheduler, ComputesAtLeastOneTokenOfACachedPrompt) {
  TestScheduler scheduler(SmallLimits(), 1);
  for (SequenceId id = 1; id <= 2; ++id) {
    ASSERT_TRUE(scheduler.Add(id, MakeRequest(128, 1)).ok());
    const auto plan = scheduler.Plan().value();
    EXPECT_EQ(plan.sequences[0].num_computed, id == 1 ? 0 : 64);
    ASSERT_TRUE(scheduler.Apply(Answer(plan)).ok());
  }
}

TEST(Scheduler, SaltKeepsTenantsApart) {
  TestScheduler scheduler(SmallLimits(), 1);
  for (SequenceId id = 1; id <= 3; ++id) {
    Request request = MakeRequest(100, 1);
    request.cache_salt = id == 1 ? "a" : "b";
    ASSERT_TRUE(scheduler.Add(id, request).ok());
    const auto plan = scheduler.Plan().value();
    EXPECT_EQ(plan.sequences[0].num_computed, id == 3 ? 64 : 0) << id;
    ASSERT_TRUE(scheduler.Apply(Answer(plan)).ok());
  }
}

}  // namespace
}  // namespace deeprack::coordinator
