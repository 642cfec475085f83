// Plans and results that fit one message each.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/step/sampling_check.h"
#include "tests/unit/scheduler/scheduler_fixture.h"

namespace deeprack::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// The bound on what dp group 0 is sent.
int64_t BytesOf(const model::StepPlan& plan) {
  const model::GroupPlan& group = plan.groups.front();
  int64_t bytes = model::MostHeaderBytes(std::ssize(plan.groups));
  bytes += std::ssize(group.rows) * model::kMostRowsBytes;
  for (const model::PageChange& change : group.pages) bytes += std::ssize(change.pages) * model::kMostIdBytes;
  for (const model::OpenedSequence& opened : group.opened) {
    bytes += model::MostOpenedBytes(std::ssize(opened.tokens), 0, std::ssize(opened.sampling.logit_bias),
                                    std::ssize(opened.end.stop_tokens));
  }
  return bytes;
}

int64_t ResultBytesOf(const ResolvedPlan& plan) {
  int64_t bytes = 0;
  for (const SequencePlan& sequence : plan.sequences) {
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
  limits.max_message_bytes = 16'000;
  return limits;
}

TEST(MessageSize, SequencesThatDoNotFitOnePlanAreOpenedByTheNext) {
  SchedulerLimits limits = TightMessage();
  limits.max_step_tokens = 2048;
  TestScheduler scheduler(limits, 1);
  for (SequenceId id = 1; id <= 8; ++id) {
    ASSERT_TRUE(scheduler.Add(id, MakeRequest(200, 3, static_cast<TokenId>(id))).ok());
  }
  std::vector<size_t> opened;
  while (const auto plan = scheduler.Plan()) {
    EXPECT_LE(BytesOf(plan->plan), limits.max_message_bytes);
    opened.push_back(plan->plan.groups[0].opened.size());
    ASSERT_TRUE(scheduler.Apply(Answer(*plan)).ok());
  }
  EXPECT_THAT(opened, ElementsAre(6, 2, 0, 0)) << "8000 bytes are 6 times 1212";
}

// After a loss, a sequence is opened again with its output.
TEST(MessageSize, ARequestThatDoesNotFitAPlanIsRefusedWithTheNumbers) {
  SchedulerLimits limits = TightMessage();
  limits.max_context = 4096;
  EXPECT_TRUE(CheckRequest(limits, MakeRequest(100, 1400, 1)).ok());
  const absl::Status refused = CheckRequest(limits, MakeRequest(100, 1500, 1));
  EXPECT_TRUE(absl::IsInvalidArgument(refused)) << refused;
  EXPECT_THAT(
      std::string(refused.message()),
      HasSubstr("the request takes up to 8317 bytes of a step's plan, which has 8000 for new sequences "
                "(1600 tokens, 0 logit biases, 0 stop tokens, 0 bytes of a constraint)"));
  Request biased = MakeRequest(100, 100, 1);
  biased.sampling.logit_bias.assign(2000, {1, 0.5f});
  EXPECT_THAT(std::string(CheckRequest(limits, biased).message()), HasSubstr("2000 logit biases"));
  Request constrained = MakeRequest(100, 100, 1);
  constrained.constraint = {.spec = {model::ConstraintKind::kJsonSchema, std::string(9000, ' ')}};
  EXPECT_THAT(std::string(CheckRequest(limits, constrained).message()),
              HasSubstr("9064 bytes of a constraint"));
}

TEST(MessageSize, LimitsUnderWhichNoPlanFitsAreRefused) {
  SchedulerLimits limits = {.max_sequences = 8192, .max_context = 163'840, .dp = 32};
  EXPECT_TRUE(CheckPlanSize(limits).ok());
  limits.max_context = 8'000'000;
  const absl::Status refused = CheckPlanSize(limits);
  EXPECT_TRUE(absl::IsInvalidArgument(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("a sequence of 8000000 positions takes 40625192"));
  limits.max_context = 163'840;
  limits.max_sequences = 1 << 20;
  EXPECT_THAT(std::string(CheckPlanSize(limits).message()), HasSubstr("the rows of 1048576 sequences"));
}

TEST(MessageSize, PagesThatNoPlanCanNameAreNotUsed) {
  EXPECT_EQ(InLayout(TightMessage(), 700, 1).blocks_per_dp_rank, 700);
  EXPECT_EQ(InLayout(TightMessage(), 900, 1).blocks_per_dp_rank, 800) << "a quarter of 16000 bytes";
}

TEST(MessageSize, APromptWithLogprobsIsCutToWhatAResultHolds) {
  TestScheduler scheduler(TightMessage(), 1);
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
  TestScheduler scheduler(limits, 1);
  for (SequenceId id = 1; id <= 8; ++id) {
    Request request = MakeRequest(10, 5, static_cast<TokenId>(id));
    request.sampling.top_logprobs = 199;  // 2.6 KB: half of a group's result has room for three of them
    ASSERT_TRUE(scheduler.Add(id, request).ok());
  }
  EXPECT_EQ(scheduler.Plan()->sequences.size(), 6u);
}

}  // namespace
}  // namespace deeprack::coordinator
