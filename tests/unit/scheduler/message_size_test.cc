// Plans and results that fit one message each.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/step/sampling_check.h"
#include "tests/unit/scheduler/scheduler_fixture.h"

namespace deeprack::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

int64_t BytesOf(const model::StepPlan& plan) {
  int64_t bytes = model::kMostPlanHeaderBytes;
  for (const model::SequencePlan& sequence : plan.sequences) {
    bytes += std::ssize(sequence.token_ids) * model::kMostIdBytes +
             model::MostSequencePlanBytes(std::ssize(sequence.block_table), std::ssize(sequence.token_counts),
                                          std::ssize(sequence.sampling.logit_bias));
  }
  return bytes;
}

int64_t ResultBytesOf(const model::StepPlan& plan) {
  int64_t bytes = 0;
  for (const model::SequencePlan& sequence : plan.sequences) {
    bytes += model::MostSequenceResultBytes(sequence.sampling.top_logprobs);
    if (sequence.prompt_logprobs >= 0) {
      bytes += std::ssize(sequence.token_ids) * model::MostPositionLogprobsBytes(sequence.prompt_logprobs);
    }
  }
  return bytes;
}

SchedulerLimits TightMessage() {
  SchedulerLimits limits = SmallLimits();
  limits.blocks_per_dp_rank = 64;
  limits.max_message_bytes = 16'000;  // chunks of 256 tokens take 1,280 bytes of a plan
  return limits;
}

// A request whose token counts take 20 bytes for each of its distinct tokens.
Request Penalized(int32_t size, int32_t max_tokens, TokenId first) {
  Request request = MakeRequest(size, max_tokens, first);
  request.sampling.frequency_penalty = 0.5f;
  return request;
}

TEST(MessageSize, SequencesThatOutgrowAPlanGiveWayAndAllEnd) {
  Scheduler scheduler(TightMessage(), 1);
  for (SequenceId id = 1; id <= 4; ++id) {
    ASSERT_TRUE(scheduler.Add(id, Penalized(100, 160, static_cast<TokenId>(id))).ok());
  }
  std::map<SequenceId, size_t> tokens;
  std::map<SequenceId, FinishReason> finish;
  TokenId next = 0;
  while (const auto plan = scheduler.Plan()) {
    EXPECT_LE(BytesOf(*plan), TightMessage().max_message_bytes);
    const auto events = scheduler.Apply(Answer(*plan, [&](const auto&) { return ++next; })).value();
    for (const TokenEvent& event : events) {
      tokens[event.sequence] += event.has_token;
      if (event.finish != FinishReason::kNone) finish[event.sequence] = event.finish;
    }
    ASSERT_LT(scheduler.Stats().steps, 10'000);
  }
  EXPECT_GT(scheduler.Stats().preemptions, 0) << "four times 5.5 KB are more than 16 KB";
  for (SequenceId id = 1; id <= 4; ++id) {
    EXPECT_EQ(tokens[id], 160u);
    EXPECT_EQ(finish[id], FinishReason::kLength);
  }
}

TEST(MessageSize, WithoutPenaltiesTheSameRequestsRunTogether) {
  Scheduler scheduler(TightMessage(), 1);
  for (SequenceId id = 1; id <= 4; ++id) {
    ASSERT_TRUE(scheduler.Add(id, MakeRequest(100, 160, static_cast<TokenId>(id))).ok());
  }
  RunToEnd(scheduler);
  EXPECT_EQ(scheduler.Stats().preemptions, 0);
}

TEST(MessageSize, ARequestThatDoesNotFitAPlanIsRefusedWithTheNumbers) {
  const SchedulerLimits limits = TightMessage();
  EXPECT_TRUE(CheckRequest(limits, Penalized(100, 500, 1)).ok());
  const absl::Status refused = CheckRequest(limits, Penalized(100, 900, 1));
  EXPECT_TRUE(absl::IsInvalidArgument(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()),
              HasSubstr("1000 tokens, counted for penalties, 0 logit biases"));
  EXPECT_TRUE(CheckRequest(limits, MakeRequest(100, 900, 1)).ok());

  Request biased = MakeRequest(100, 900, 1);
  biased.sampling.logit_bias.assign(2000, {1, 0.5f});
  EXPECT_THAT(std::string(CheckRequest(limits, biased).message()), HasSubstr("2000 logit biases"));
}

TEST(MessageSize, LimitsUnderWhichNoPlanFitsAreRefused) {
  SchedulerLimits limits = {.max_step_tokens = 8192, .max_context = 163'840, .dp = 32};
  EXPECT_TRUE(CheckPlanSize(limits).ok());
  limits.max_step_tokens = 1 << 20;
  const absl::Status refused = CheckPlanSize(limits);
  EXPECT_TRUE(absl::IsInvalidArgument(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()),
              HasSubstr("steps of 1048576 tokens in each of 32 dp groups take 167772160 bytes"));
}

TEST(MessageSize, APromptWithLogprobsIsCutToWhatAResultHolds) {
  Scheduler scheduler(TightMessage(), 1);
  Request request = MakeRequest(100, 1, 1);
  request.prompt_logprobs = 20;
  ASSERT_TRUE(scheduler.Add(1, request).ok());
  ASSERT_TRUE(scheduler.Add(2, request).ok());
  std::vector<size_t> chunks;
  std::map<SequenceId, size_t> logprobs;
  while (const auto plan = scheduler.Plan()) {
    EXPECT_LE(ResultBytesOf(*plan), TightMessage().max_message_bytes);
    chunks.push_back(plan->sequences.front().token_ids.size());
    const auto events = scheduler.Apply(Answer(*plan)).value();
    for (const TokenEvent& event : events) {
      logprobs[event.sequence] += event.prompt_logprobs.size();
    }
    ASSERT_LT(scheduler.Stats().steps, 100);
  }
  EXPECT_THAT(chunks, ElementsAre(28, 28, 28, 16, 28, 28, 28, 4)) << "8000 bytes are 28 times 281";
  EXPECT_EQ(logprobs[1], 99u);
  EXPECT_EQ(logprobs[2], 99u);
}

TEST(MessageSize, SequencesThatSampleWithLogprobsShareAResult) {
  SchedulerLimits limits = TightMessage();
  limits.dp = 2;
  Scheduler scheduler(limits, 1);
  for (SequenceId id = 1; id <= 8; ++id) {
    Request request = MakeRequest(10, 5, static_cast<TokenId>(id));
    request.sampling.top_logprobs = 199;  // 2.6 KB: half of a group's result has room for three of them
    ASSERT_TRUE(scheduler.Add(id, request).ok());
  }
  EXPECT_EQ(scheduler.Plan()->sequences.size(), 6u);
}

}  // namespace
}  // namespace deeprack::coordinator
