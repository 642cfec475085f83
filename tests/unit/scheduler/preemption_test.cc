#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/scheduler/scheduler_fixture.h"

namespace deeprack::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

// Four blocks for two sequences of 100 tokens. Both run. When they reach 129 tokens, each needs a third
// block.
TestScheduler TightScheduler() {
  SchedulerLimits limits = SmallLimits();
  limits.blocks_per_dp_rank = 4;
  return TestScheduler(limits, 1);
}

TokenId ByPosition(const SequencePlan& plan) {
  return 1000 + plan.num_computed + static_cast<int32_t>(plan.token_ids.size());
}

TEST(Preemption, TheYoungestGivesWayAndReplaysItsOutput) {
  TestScheduler scheduler = TightScheduler();
  ASSERT_TRUE(scheduler.Add(1, MakeRequest(100, 60, 1)).ok());
  ASSERT_TRUE(scheduler.Add(2, MakeRequest(100, 60, 2)).ok());
  std::map<SequenceId, std::vector<TokenId>> output;
  std::vector<std::pair<int32_t, size_t>> prefills;  // the start and size of sequence 2's prefills
  while (auto plan = scheduler.Plan()) {
    for (const auto& sequence : plan->sequences) {
      if (sequence.sequence != 2 || sequence.token_ids.size() == 1) continue;
      prefills.emplace_back(sequence.num_computed, sequence.token_ids.size());
      if (!output[2].empty()) {
        EXPECT_EQ(sequence.token_ids.back(), output[2].back());
      }
    }
    const auto events = scheduler.Apply(Answer(*plan, ByPosition)).value();
    for (const TokenEvent& event : events) output[event.sequence].push_back(event.token);
    EXPECT_LE(scheduler.Stats().blocks_used, 4);
  }
  EXPECT_EQ(scheduler.Stats().preemptions, 1);
  // 129 tokens are replayed. The first page is still in the cache; the second page was given away first.
  EXPECT_THAT(prefills, ElementsAre(Pair(0, 100), Pair(64, 65)));
  std::vector<TokenId> expected(60);
  std::iota(expected.begin(), expected.end(), 1100);
  EXPECT_EQ(output[1], expected);
  EXPECT_EQ(output[2], expected);
  EXPECT_EQ(scheduler.Stats().blocks_used, 0);
  EXPECT_EQ(scheduler.Stats().prompt_tokens, 200);
  EXPECT_EQ(scheduler.Stats().generation_tokens, 120);
}

// If prompts are expanded, a replay computes its output again, even if another sequence has the same tokens
// in its prompt.
TEST(Preemption, ReplaysFindNoOutputInPromptsThatAreExpanded) {
  for (const auto form : {model::PrefillAttention::kAbsorbed, model::PrefillAttention::kExpanded}) {
    SchedulerLimits limits = SmallLimits();
    limits.blocks_per_dp_rank = 6;
    limits.prefill_attention = form;
    TestScheduler scheduler(limits, 1);
    const auto rule = [](const SequencePlan& plan) {
      return static_cast<TokenId>(1000 * plan.sequence + plan.num_computed + plan.token_ids.size());
    };
    // The prompt of sequence 1 is the prompt of sequence 2 and the later output of sequence 2. In the end
    // sequence 1 takes all blocks.
    Request quote = MakeRequest(100, 200, 3);
    for (TokenId token = 2100; token < 2160; ++token) quote.prompt.push_back(token);
    ASSERT_TRUE(scheduler.Add(1, quote).ok());
    ASSERT_TRUE(scheduler.Apply(Answer(scheduler.Plan().value(), rule)).ok());
    ASSERT_TRUE(scheduler.Add(2, MakeRequest(100, 100, 3)).ok());
    std::vector<int32_t> prefills;  // the starts of sequence 2's prefills
    while (auto plan = scheduler.Plan()) {
      for (const auto& sequence : plan->sequences) {
        EXPECT_EQ(sequence.prompt_size, sequence.sequence == 1 ? 160 : 100);
        if (sequence.sequence == 2 && sequence.token_ids.size() > 1)
          prefills.push_back(sequence.num_computed);
      }
      ASSERT_TRUE(scheduler.Apply(Answer(*plan, rule)).ok());
    }
    EXPECT_EQ(scheduler.Stats().preemptions, 1);
    EXPECT_THAT(prefills, ElementsAre(64, form == model::PrefillAttention::kAbsorbed ? 128 : 64));
  }
}

TEST(Preemption, ThePreemptedGoesBeforeLaterArrivals) {
  TestScheduler scheduler = TightScheduler();
  ASSERT_TRUE(scheduler.Add(1, MakeRequest(120, 40, 1)).ok());
  ASSERT_TRUE(scheduler.Add(2, MakeRequest(100, 40, 2)).ok());
  ASSERT_TRUE(scheduler.Add(3, MakeRequest(10, 1, 3)).ok());  // no block is left for sequence 3
  std::vector<SequenceId> finished;
  while (auto plan = scheduler.Plan()) {
    const auto events = scheduler.Apply(Answer(*plan)).value();
    for (const TokenEvent& event : events) {
      if (event.finish != FinishReason::kNone) finished.push_back(event.sequence);
    }
  }
  EXPECT_EQ(scheduler.Stats().preemptions, 1);
  EXPECT_THAT(finished, ElementsAre(1, 3, 2));  // 3 is short, and was admitted when 2 returned
}

TEST(Preemption, PenaltyCountsTellPromptFromReplayedOutput) {
  TestScheduler scheduler = TightScheduler();
  for (SequenceId id = 1; id <= 2; ++id) {
    Request request = MakeRequest(120, 12, 1);
    request.cache_salt = std::to_string(id);
    request.sampling.presence_penalty = 0.5f;
    std::fill(request.prompt.begin(), request.prompt.end(), 9);
    ASSERT_TRUE(scheduler.Add(id, request).ok());
  }
  while (auto plan = scheduler.Plan()) {
    for (const auto& sequence : plan->sequences) {
      const int32_t size = sequence.num_computed + static_cast<int32_t>(sequence.token_ids.size());
      ASSERT_TRUE(sequence.sample);
      if (size == 120) {
        EXPECT_THAT(sequence.token_counts, ElementsAre(worker::TokenCount{9, 120, 0}));
      } else {
        EXPECT_THAT(sequence.token_counts,
                    ElementsAre(worker::TokenCount{5, 0, size - 120}, worker::TokenCount{9, 120, 0}));
      }
    }
    ASSERT_TRUE(scheduler.Apply(Answer(*plan)).ok());
  }
  EXPECT_GE(scheduler.Stats().preemptions, 1);
}

TEST(Preemption, PromptLogprobsAreReportedOnce) {
  TestScheduler scheduler = TightScheduler();
  ASSERT_TRUE(scheduler.Add(1, MakeRequest(120, 40, 1)).ok());
  Request request = MakeRequest(100, 40, 2);
  request.prompt_logprobs = 0;
  ASSERT_TRUE(scheduler.Add(2, request).ok());
  const auto events = RunToEnd(scheduler);
  EXPECT_GE(scheduler.Stats().preemptions, 1);
  std::vector<TokenId> reported;
  for (const TokenEvent& event : events.at(2)) {
    for (const auto& entry : event.prompt_logprobs) reported.push_back(entry.chosen.token);
  }
  EXPECT_EQ(reported, std::vector<TokenId>(request.prompt.begin() + 1, request.prompt.end()));
}

}  // namespace
}  // namespace deeprack::coordinator
