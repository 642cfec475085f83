#include "worker/engine/plan_check.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <string>

namespace deeprack::worker {
namespace {

constexpr int64_t kVocab = 100;
constexpr int64_t kBlocks = 10;

PlanChecker Checker() {
  return PlanChecker(kVocab, {.tp = 1, .dp = 2, .ep = 1, .pp = 1}, 7,
                     {.max_step_tokens = 200, .max_sequences = 3, .max_context = 192}, kBlocks);
}

// A prefill of 70 tokens and a decode at position 128, in different dp groups.
model::StepPlan GoodPlan() {
  model::StepPlan plan = {.epoch = 7, .step = 1};
  plan.sequences.resize(2);
  plan.sequences[0] = {.sequence = 1,
                       .dp_rank = 0,
                       .prompt_size = 70,
                       .token_ids = std::vector<TokenId>(70, 5),
                       .block_table = {0, 1}};
  plan.sequences[1] = {.sequence = 2,
                       .dp_rank = 1,
                       .prompt_size = 100,
                       .num_computed = 128,
                       .token_ids = {99},
                       .block_table = {3, 4, 0}};
  return plan;
}

struct Fault {
  const char* name;
  std::function<void(model::StepPlan&)> make;
  const char* says;
};

class PlanCheckFaultTest : public ::testing::TestWithParam<Fault> {};

TEST(PlanCheckTest, AGoodPlanPassesAgainAndAgain) {
  PlanChecker checker = Checker();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(checker.Check(GoodPlan()), std::nullopt);
  EXPECT_EQ(checker.Check({.epoch = 7}), std::nullopt);
}

TEST(PlanCheckTest, SharedPrefixPagesMayBeRead) {
  model::StepPlan plan = GoodPlan();
  plan.sequences.push_back(plan.sequences[1]);
  plan.sequences[2].sequence = 3;
  plan.sequences[2].block_table = {3, 4, 9};
  EXPECT_EQ(Checker().Check(plan), std::nullopt);
}

TEST(PlanCheckTest, AnotherEpochIsAFailedPrecondition) {
  for (const Epoch epoch : {6, 8}) {
    model::StepPlan plan = GoodPlan();
    plan.epoch = epoch;
    EXPECT_EQ(Checker().CheckEpoch(plan).code(), absl::StatusCode::kFailedPrecondition);
  }
}

TEST(PlanCheckTest, TheEpochOfTheEngineIsRight) { EXPECT_TRUE(Checker().CheckEpoch(GoodPlan()).ok()); }

TEST_P(PlanCheckFaultTest, IsRefusedWithWhatIsWrong) {
  model::StepPlan plan = GoodPlan();
  GetParam().make(plan);
  PlanChecker checker = Checker();
  const std::optional<model::Refusal> refusal = checker.Check(plan);
  ASSERT_TRUE(refusal.has_value());
  EXPECT_NE(refusal->reason.find(GetParam().says), std::string::npos) << refusal->reason;
  // The sequence at fault is one of the plan, and the reason begins with it.
  EXPECT_TRUE(std::any_of(plan.sequences.begin(), plan.sequences.end(),
                          [&](const auto& sequence) { return sequence.sequence == refusal->sequence; }));
  EXPECT_EQ(refusal->reason.rfind("sequence " + std::to_string(refusal->sequence) + ": ", 0), 0u)
      << refusal->reason;
  EXPECT_EQ(checker.Check(GoodPlan()), std::nullopt);
}

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

INSTANTIATE_TEST_SUITE_P(
    Faults, PlanCheckFaultTest,
    ::testing::Values(
        Fault{"dp_rank", [](auto& p) { p.sequences[0].dp_rank = 2; }, "sequence 1: dp_rank 2 of 2"},
        Fault{"negative_dp_rank", [](auto& p) { p.sequences[0].dp_rank = -1; }, "dp_rank -1"},
        Fault{"no_tokens", [](auto& p) { p.sequences[1].token_ids.clear(); }, "sequence 2: has no tokens"},
        Fault{"token_high", [](auto& p) { p.sequences[0].token_ids[69] = 100; }, "token 100 of 100"},
        Fault{"token_negative", [](auto& p) { p.sequences[0].token_ids[0] = -1; }, "token -1"},
        Fault{"no_prompt", [](auto& p) { p.sequences[0].prompt_size = 0; },
              "prompt_size 0 is not in [1, 192]"},
        Fault{"long_prompt", [](auto& p) { p.sequences[1].prompt_size = 193; }, "prompt_size 193"},
        Fault{"num_computed", [](auto& p) { p.sequences[0].num_computed = -1; }, "num_computed -1"},
        Fault{"context", [](auto& p) { p.sequences[1].num_computed = 192; }, "ends at position 193"},
        Fault{"overflow", [](auto& p) { p.sequences[1].num_computed = INT32_MAX; },
              "beyond the context of 192"},
        Fault{"short_table", [](auto& p) { p.sequences[0].block_table = {0}; }, "a block table of 1 pages"},
        Fault{"block_high", [](auto& p) { p.sequences[0].block_table[1] = 10; }, "block 10 of 10"},
        Fault{"block_negative", [](auto& p) { p.sequences[0].block_table[0] = -1; }, "block -1"},
        Fault{"twice", [](auto& p) { p.sequences[1].sequence = 1; }, "is twice in step 1"},
        Fault{"written_twice",
              [](auto& p) {
                p.sequences[0].block_table = {1, 1};
              },
              "block 1 is written twice"},
        Fault{"two_writers",
              [](auto& p) {
                p.sequences[1].dp_rank = 0;
                p.sequences[1].block_table = {3, 4, 1};
              },
              "block 1 is written twice"},
        Fault{"read_while_written",
              [](auto& p) {
                p.sequences[1].dp_rank = 0;
                p.sequences[1].block_table = {1, 4, 5};
              },
              "reads block 1, which this step writes for sequence 1"},
        Fault{"tokens",
              [](auto& p) {
                p.sequences[0].token_ids.assign(150, 5);
                p.sequences[0].block_table = {0, 1, 2};
                p.sequences[1] = p.sequences[0];
                p.sequences[1].sequence = 2;
                p.sequences[1].block_table = {3, 4, 5};
              },
              "dp group 0 has 300 tokens"},
        Fault{"sequences",
              [](auto& p) {
                for (int i = 0; i < 3; ++i) {
                  p.sequences.push_back({.sequence = SequenceId(10 + i),
                                         .dp_rank = 0,
                                         .prompt_size = 1,
                                         .token_ids = {1},
                                         .block_table = {BlockId(5 + i)}});
                }
              },
              "of 4 sequences"},
        Fault{"temperature", [](auto& p) { p.sequences[0].sampling.temperature = -0.1f; }, "temperature"},
        Fault{"temperature_nan", [](auto& p) { p.sequences[0].sampling.temperature = kNan; }, "temperature"},
        Fault{"top_p", [](auto& p) { p.sequences[0].sampling.top_p = 0; }, "top_p 0"},
        Fault{"top_p_nan", [](auto& p) { p.sequences[0].sampling.top_p = kNan; }, "top_p"},
        Fault{"min_p", [](auto& p) { p.sequences[0].sampling.min_p = 1.5f; }, "min_p 1.5"},
        Fault{"top_k", [](auto& p) { p.sequences[0].sampling.top_k = -2; }, "top_k -2"},
        Fault{"repetition", [](auto& p) { p.sequences[0].sampling.repetition_penalty = 0; },
              "repetition_penalty 0"},
        Fault{"presence", [](auto& p) { p.sequences[0].sampling.presence_penalty = INFINITY; }, "penalty"},
        Fault{"top_logprobs", [](auto& p) { p.sequences[0].sampling.top_logprobs = 101; },
              "top_logprobs 101"},
        Fault{"bias_token",
              [](auto& p) {
                p.sequences[0].sampling.logit_bias = {{100, 1.0f}};
              },
              "logit_bias of token"},
        Fault{"bias_nan",
              [](auto& p) {
                p.sequences[0].sampling.logit_bias = {{1, kNan}};
              },
              "not a number"},
        Fault{"counts",
              [](auto& p) {
                p.sequences[0].token_counts = {{1, -1, 0}};
              },
              "token count 1"},
        Fault{"prompt_logprobs", [](auto& p) { p.sequences[0].prompt_logprobs = -2; }, "prompt_logprobs -2"},
        Fault{"next_token", [](auto& p) { p.sequences[0].next_prompt_token = 100; },
              "next_prompt_token 100"}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace deeprack::worker
