// Drafts: how many the policy chooses, and what a scheduler does with them.
#include <gtest/gtest.h>

#include <numeric>

#include "coordinator/scheduler/draft_policy.h"
#include "tests/unit/scheduler/scheduler_fixture.h"

namespace deeprack::coordinator {
namespace {

constexpr DraftLimits kCard = {.most = 3, .adapts = true, .layers = 61, .rows_per_read = 206};

TEST(DraftPolicy, AFixedNumberIsThatNumber) {
  DraftPolicy policy({.most = 2});
  EXPECT_EQ(policy.Choose(1), 2);
  EXPECT_EQ(policy.Choose(5000), 2);
  EXPECT_EQ(policy.Choose(0), 0);
  EXPECT_EQ(DraftPolicy(DraftLimits()).Choose(1), 0);
}

TEST(DraftPolicy, LargeBatchesHaveFewDraftsAndThenNone) {
  DraftPolicy policy(kCard);
  EXPECT_EQ(policy.Choose(1), 3);
  EXPECT_EQ(policy.Choose(300), 1) << "1.8 / 814.3 is the most, and more than 1.1 / 506";
  EXPECT_EQ(policy.Choose(2000), 0);
  // Two layers: each draft costs half a step.
  DraftPolicy small({.most = 3, .adapts = true, .layers = 2, .rows_per_read = 8});
  EXPECT_EQ(small.Choose(1), 1) << "2.4 / 20 tokens with two drafts, 1.8 / 14.5 with one, 1 / 9 without";
}

TEST(DraftPolicy, FollowsAcceptanceAndProbesAgain) {
  DraftPolicy policy(kCard);
  for (int i = 0; i < 2000; ++i) policy.Observe(3, 0);
  EXPECT_NEAR(policy.acceptance(0), 0, 1e-3);
  int probes = 0;
  for (int i = 0; i < 10 * DraftPolicy::kProbeEvery; ++i) {
    const int32_t drafts = policy.Choose(4);
    EXPECT_TRUE(drafts == 0 || drafts == 3);
    probes += drafts == 3 ? 1 : 0;
  }
  EXPECT_EQ(probes, 10);
  for (int i = 0; i < 10 * DraftPolicy::kProbeEvery; ++i) EXPECT_EQ(policy.Choose(5000), 0) << "never pays";
  for (int i = 0; i < 2000; ++i) policy.Observe(3, 1);
  EXPECT_NEAR(policy.acceptance(0), 1, 1e-3);
  EXPECT_NEAR(policy.acceptance(1), 0, 1e-3);
  policy.Choose(4);
  EXPECT_EQ(policy.Choose(4), 1);
}

SchedulerLimits Drafting(int32_t most) {
  SchedulerLimits limits = SmallLimits();
  limits.drafts = {.most = most};
  return limits;
}

// The first row of the plan.
model::SequenceRows FirstRows(const ResolvedPlan& plan) { return plan.plan.groups[0].rows[0]; }

// Answers the plan; sequence i has `tokens[i]`.
std::vector<TokenEvent> ApplyTokens(TestScheduler& scheduler, const ResolvedPlan& plan,
                                    const std::vector<std::vector<TokenId>>& tokens) {
  ResolvedResult result = Answer(plan);
  for (size_t i = 0; i < tokens.size(); ++i) result.sequences[i].tokens = tokens[i];
  auto events = scheduler.Apply(result);
  EXPECT_TRUE(events.ok()) << events.status();
  return events.ok() ? *std::move(events) : std::vector<TokenEvent>();
}

TEST(Drafts, AreVerifiedInTheNextStep) {
  TestScheduler scheduler(Drafting(2), 1);
  ASSERT_TRUE(scheduler.Add(1, MakeRequest(10, 100)).ok());
  auto plan = scheduler.Plan();
  EXPECT_EQ(FirstRows(*plan), (model::SequenceRows{.slot = 0, .rows = 10, .drafts = 0, .next_drafts = 2}));
  EXPECT_EQ(plan->plan.header.drafting, (std::vector<std::vector<int32_t>>{{1}, {1}}));
  ApplyTokens(scheduler, *plan, {{7}});

  plan = scheduler.Plan();
  EXPECT_EQ(FirstRows(*plan), (model::SequenceRows{.slot = 0, .rows = 3, .drafts = 2, .next_drafts = 2}));
  EXPECT_EQ(plan->plan.header.rows_of_group, std::vector<int32_t>{3});
  EXPECT_TRUE(plan->plan.header.decodes_only);
  const std::vector<TokenEvent> events = ApplyTokens(scheduler, *plan, {{8, 9}});
  ASSERT_EQ(events.size(), 2);
  EXPECT_EQ(events[0].token, 8);
  EXPECT_EQ(events[1].token, 9);
  EXPECT_EQ(events[0].accepted_drafts, 1);
  EXPECT_EQ(events[0].rejected_drafts, 0);
  EXPECT_EQ(events[1].accepted_drafts, 1);
  EXPECT_EQ(events[1].rejected_drafts, 1);

  plan = scheduler.Plan();
  EXPECT_EQ(plan->sequences[0].num_computed, 12) << "the prompt, token 7 and token 8";
  EXPECT_EQ(plan->sequences[0].token_ids, std::vector<TokenId>{9});
  const ServingStats stats = scheduler.Stats();
  EXPECT_EQ(stats.generation_tokens, 3);
  EXPECT_EQ(stats.drafts.verified, 1);
  EXPECT_EQ(stats.drafts.drafts, 2);
  EXPECT_EQ(stats.drafts.accepted_at[0], 1);
  EXPECT_EQ(stats.drafts.accepted_at[1], 0);
}

TEST(Drafts, NoStepIsPlannedBehindThem) {
  SchedulerLimits limits = Drafting(1);
  limits.steps_under_way = 2;
  Scheduler scheduler(limits, 1);
  ASSERT_TRUE(scheduler.Add(1, MakeRequest(300, 100)).ok());  // more than a step
  ASSERT_TRUE(scheduler.Plan().has_value());
  ASSERT_TRUE(scheduler.Plan().has_value()) << "the first step draws nothing and makes no drafts";
  EXPECT_FALSE(scheduler.Plan().has_value());
  ASSERT_TRUE(scheduler.Apply({.epoch = 1, .step = 1, .groups = {{{.sequence = 1}}}}).ok());
  EXPECT_FALSE(scheduler.Plan().has_value()) << "the step under way makes a draft";
  ASSERT_TRUE(scheduler.Apply({.epoch = 1, .step = 2, .groups = {{{.sequence = 1, .tokens = {4}}}}}).ok());
  EXPECT_EQ(scheduler.Plan()->groups[0].rows[0].drafts, 1);
}

TEST(Drafts, NeverReachBeyondTheEnd) {
  for (int32_t most = 1; most <= 8; ++most) {
    TestScheduler scheduler(Drafting(3), 1);
    ASSERT_TRUE(scheduler.Add(1, MakeRequest(10, most)).ok());
    std::vector<TokenEvent> events;
    while (auto plan = scheduler.Plan()) {
      const model::SequenceRows rows = FirstRows(*plan);
      const auto known = static_cast<int32_t>(10 + events.size());
      EXPECT_LE(known + 1 + rows.drafts, 10 + most) << "tokens after the step";
      if (rows.next_drafts > 0) {
        EXPECT_LE(known + 1 + rows.drafts + rows.next_drafts + 1, 10 + most) << "tokens after the next step";
      }
      // All drafts are right: the ranks of this test count up.
      std::vector<TokenId> tokens(static_cast<size_t>(1 + rows.drafts));
      std::iota(tokens.begin(), tokens.end(), known);
      for (TokenEvent& event : ApplyTokens(scheduler, *plan, {tokens})) events.push_back(std::move(event));
    }
    ASSERT_EQ(std::ssize(events), most);
    EXPECT_EQ(events.back().finish, FinishReason::kLength);
  }
}

TEST(Drafts, TakeWhatDecodesAndPromptsLeaveOfAStep) {
  SchedulerLimits limits = Drafting(3);
  limits.max_step_tokens = 12;
  limits.prefill_tokens_beside_decodes = 4;
  TestScheduler scheduler(limits, 1);
  ASSERT_TRUE(scheduler.Add(1, MakeRequest(4, 100, 1)).ok());
  ASSERT_TRUE(scheduler.Add(2, MakeRequest(4, 100, 2)).ok());
  ApplyTokens(scheduler, *scheduler.Plan(), {{5}, {5}});
  ASSERT_TRUE(scheduler.Add(3, MakeRequest(60, 100, 3)).ok());
  const auto plan = scheduler.Plan();
  // 2 decodes and 4 tokens of the prompt leave 6 rows for drafts.
  const std::vector<model::SequenceRows>& rows = plan->plan.groups[0].rows;
  ASSERT_EQ(rows.size(), 3);
  EXPECT_EQ(rows[0].drafts, 3);
  EXPECT_EQ(rows[1].drafts, 3);
  EXPECT_EQ(rows[2].rows, 4);
  EXPECT_EQ(rows[2].next_drafts, 0) << "the prompt goes on";
  ApplyTokens(scheduler, *plan, {{5}, {5}});
  // A part in 128 of 1,656 tokens: 13 beside decodes.
  for (SequenceId id = 4; id < 12; ++id) ASSERT_TRUE(scheduler.Add(id, MakeRequest(200, 100, 4)).ok());
  const auto crowded = scheduler.Plan();
  EXPECT_EQ(crowded->plan.groups[0].rows[0].drafts, 0);
  EXPECT_EQ(crowded->plan.header.rows_of_group[0], 12);
}

TEST(Drafts, NobodyIsPreemptedForThem) {
  SchedulerLimits limits = Drafting(3);
  limits.blocks_per_dp_rank = 2;
  TestScheduler scheduler(limits, 1);
  ASSERT_TRUE(scheduler.Add(1, MakeRequest(62, 60, 1)).ok());  // its page has room for two more positions
  ASSERT_TRUE(scheduler.Add(2, MakeRequest(20, 60, 2)).ok());
  auto plan = scheduler.Plan();
  EXPECT_EQ(plan->plan.groups[0].rows[0].next_drafts, 3) << "of positions 62 and 63 at most";
  ApplyTokens(scheduler, *plan, {{5}, {5}});
  plan = scheduler.Plan();
  EXPECT_EQ(plan->plan.groups[0].rows[0].drafts, 1) << "position 64 has no page";
  EXPECT_EQ(plan->plan.groups[0].rows[0].next_drafts, 1) << "the layer writes no position for its last draft";
  EXPECT_EQ(plan->plan.groups[0].rows[1].drafts, 3);
  EXPECT_EQ(scheduler.Stats().preemptions, 0);
}

TEST(Drafts, PositionsOfWrongDraftsAreNotShared) {
  TestScheduler scheduler(Drafting(3), 1);
  ASSERT_TRUE(scheduler.Add(1, MakeRequest(62, 60, 1)).ok());
  ApplyTokens(scheduler, *scheduler.Plan(), {{5}});
  const auto plan = scheduler.Plan();  // positions 62 to 65
  ASSERT_EQ(FirstRows(*plan).rows, 4);
  ApplyTokens(scheduler, *plan, {{6}});  // 64 tokens; position 63 has the KV of a wrong draft
  ASSERT_TRUE(scheduler.Cancel(1).has_value());
  Request next = MakeRequest(62, 10, 1);
  next.prompt.insert(next.prompt.end(), {5, 6, 9});
  ASSERT_TRUE(scheduler.Add(2, std::move(next)).ok());
  EXPECT_EQ(scheduler.Plan()->sequences[0].num_computed, 0);
}

TEST(Drafts, AResultWithOtherTokensIsRefused) {
  TestScheduler scheduler(Drafting(2), 1);
  Request request = MakeRequest(10, 100);
  request.stop_token_ids = {9};
  ASSERT_TRUE(scheduler.Add(1, std::move(request)).ok());
  ApplyTokens(scheduler, *scheduler.Plan(), {{7}});
  const auto plan = scheduler.Plan();
  const auto message = [&](std::vector<TokenId> tokens) {
    ResolvedResult result = Answer(*plan);
    result.sequences[0].tokens = std::move(tokens);
    return std::string(scheduler.Apply(result).status().message());
  };
  EXPECT_EQ(message({}), "step 2: sequence 1 has 0 tokens; 1 to 3 were due");
  EXPECT_EQ(message({1, 2, 3, 4}), "step 2: sequence 1 has 4 tokens; 1 to 3 were due");
  EXPECT_EQ(message({9, 2}), "step 2: sequence 1 goes on after its end, token 9");
  const std::vector<TokenEvent> events = ApplyTokens(scheduler, *plan, {{8, 9}});
  ASSERT_EQ(events.size(), 2);
  EXPECT_EQ(events[1].finish, FinishReason::kStop);
  EXPECT_TRUE(scheduler.idle());
}

}  // namespace
}  // namespace deeprack::coordinator
