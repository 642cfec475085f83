// SequenceTable: what a plan may not say. A fault of one sequence ends it, a fault of the step ends the
// epoch.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "worker/sequences/sequence_table.h"

namespace deeprack::worker {
namespace {

using ::testing::HasSubstr;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

SequenceTable Table() {
  return SequenceTable({.epoch = 7,
                        .dp = 2,
                        .dp_rank = 1,
                        .vocab_size = 100,
                        .blocks = 10,
                        .most_drafts = 2,
                        .limits = {.max_step_tokens = 200, .max_sequences = 3, .max_context = 192}});
}

// Step 1: a prompt of 70 tokens in slot 0, computed whole, and a replay from position 64 on in slot 1.
model::RankStep GoodStep() {
  return {
      .header = {.epoch = 7, .step = 1, .rows_of_group = {3, 71}},
      .group = {.opened = {{.slot = 0,
                            .sequence = 1,
                            .prompt_size = 70,
                            .tokens = std::vector<TokenId>(70, 5),
                            .end = {.stop_tokens = {9}, .max_size = 100}},
                           {.slot = 1,
                            .sequence = 2,
                            .prompt_size = 60,
                            .tokens = std::vector<TokenId>(65, 99),
                            .num_computed = 64,
                            .end = {.max_size = 192}}},
                .pages = {{.slot = 0, .first = 0, .pages = {0, 1}}, {.slot = 1, .first = 0, .pages = {3, 4}}},
                .rows = {{.slot = 0, .rows = 70}, {.slot = 1, .rows = 1}}}};
}

struct Fault {
  const char* name;
  std::function<void(model::RankStep&)> make;
  const char* says;
};

std::string NameOf(const ::testing::TestParamInfo<Fault>& info) { return info.param.name; }

TEST(SequenceFaultTest, TheGoodStepHasNone) {
  SequenceTable table = Table();
  const auto step = table.Begin(GoodStep());
  ASSERT_TRUE(step.ok()) << step.status();
  for (const StepSequence& sequence : step->sequences) EXPECT_FALSE(sequence.padding) << sequence.refused;
}

class OfASequenceTest : public ::testing::TestWithParam<Fault> {};

// Sequence 1 has the fault. Sequence 2 goes on.
TEST_P(OfASequenceTest, EndsThatSequence) {
  SequenceTable table = Table();
  model::RankStep plan = GoodStep();
  GetParam().make(plan);
  const auto step = table.Begin(plan);
  ASSERT_TRUE(step.ok()) << step.status();
  const StepSequence& refused = step->sequences[0];
  EXPECT_EQ(std::string(refused.refused), std::string("sequence 1: ") + GetParam().says);
  EXPECT_TRUE(refused.padding);
  EXPECT_EQ(refused.rows, 70);
  EXPECT_FALSE(refused.sample);
  EXPECT_FALSE(step->sequences[1].padding);
  const std::vector<TokenId> drafts(static_cast<size_t>(refused.next_drafts), 0);
  ASSERT_TRUE(table.Accept(*step, {.tokens = {kNoToken, 4}, .drafts = drafts}).ok());

  // Its rows stay padding, its pages are free, and its slot is free when it is closed.
  model::RankStep next = {
      .header = {.epoch = 7, .step = 2, .rows_of_group = {0, 3}},
      .group = {
          .opened = {{.slot = 2, .sequence = 3, .prompt_size = 1, .tokens = {1}, .end = {.max_size = 9}}},
          .pages = {{.slot = 0, .first = 0, .pages = {0}}, {.slot = 2, .first = 0, .pages = {0}}},
          .rows = {{.slot = 0, .rows = 2}, {.slot = 2, .rows = 1}}}};
  const auto after = table.Begin(next);
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_TRUE(after->sequences[0].padding);
  EXPECT_THAT(std::string(after->sequences[0].refused), HasSubstr(GetParam().says));
  EXPECT_EQ(after->sequences[1].refused, "");
  ASSERT_TRUE(table.Accept(*after, {.tokens = {kNoToken, 4}, .drafts = {}}).ok());
  model::OpenedSequence again = GoodStep().group.opened[0];
  model::RankStep last = {.header = {.epoch = 7, .step = 3, .rows_of_group = {0, 1}},
                          .group = {.closed = {0, 2},
                                    .opened = {again},
                                    .pages = {{.slot = 0, .first = 0, .pages = {0}}},
                                    .rows = {{.slot = 0, .rows = 1}}}};
  const auto opened = table.Begin(last);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_FALSE(opened->sequences[0].padding) << opened->sequences[0].refused;
}

model::OpenedSequence& First(model::RankStep& step) { return step.group.opened[0]; }
model::SamplingParams& Sampling(model::RankStep& step) { return step.group.opened[0].sampling; }
model::PageChange& Pages(model::RankStep& step) { return step.group.pages[0]; }

INSTANTIATE_TEST_SUITE_P(
    Faults, OfASequenceTest,
    ::testing::Values(
        Fault{"no_tokens", [](auto& s) { First(s).tokens.clear(); },
              "prompt_size 70 is not in [1, 0], the number of its tokens"},
        Fault{"many_tokens", [](auto& s) { First(s).tokens.resize(193); },
              "193 tokens, beyond the context of 192"},
        Fault{"token_high", [](auto& s) { First(s).tokens[69] = 100; }, "token 100 of 100"},
        Fault{"token_negative", [](auto& s) { First(s).tokens[0] = -1; }, "token -1 of 100"},
        Fault{"no_prompt", [](auto& s) { First(s).prompt_size = 0; },
              "prompt_size 0 is not in [1, 70], the number of its tokens"},
        Fault{"long_prompt", [](auto& s) { First(s).prompt_size = 71; },
              "prompt_size 71 is not in [1, 70], the number of its tokens"},
        Fault{"computed_negative", [](auto& s) { First(s).num_computed = -1; },
              "num_computed -1 is not in [0, 70), the number of its tokens"},
        Fault{"computed_all", [](auto& s) { First(s).num_computed = 70; },
              "num_computed 70 is not in [0, 70), the number of its tokens"},
        Fault{"max_size_low", [](auto& s) { First(s).end.max_size = 69; },
              "max_size 69 is not in [70, 192], from the number of its tokens to the context"},
        Fault{"max_size_high", [](auto& s) { First(s).end.max_size = 193; },
              "max_size 193 is not in [70, 192], from the number of its tokens to the context"},
        Fault{"stop_token", [](auto& s) { First(s).end.stop_tokens = {1, 100}; }, "stop token 100 of 100"},
        Fault{"prompt_logprobs_low", [](auto& s) { First(s).prompt_logprobs = -2; },
              "prompt_logprobs -2 is not in [-1, 100]"},
        Fault{"prompt_logprobs_high", [](auto& s) { First(s).prompt_logprobs = 101; },
              "prompt_logprobs 101 is not in [-1, 100]"},
        Fault{"temperature", [](auto& s) { Sampling(s).temperature = -0.5f; },
              "temperature -0.5 is not a finite number of at least 0"},
        Fault{"temperature_nan", [](auto& s) { Sampling(s).temperature = kNan; },
              "temperature nan is not a finite number of at least 0"},
        Fault{"top_p", [](auto& s) { Sampling(s).top_p = 0; }, "top_p 0 is not in (0, 1]"},
        Fault{"min_p", [](auto& s) { Sampling(s).min_p = 1.5f; }, "min_p 1.5 is not in [0, 1]"},
        Fault{"top_k", [](auto& s) { Sampling(s).top_k = -2; }, "top_k -2 is negative"},
        Fault{"repetition", [](auto& s) { Sampling(s).repetition_penalty = 0; },
              "repetition_penalty 0 is not above 0"},
        Fault{"presence", [](auto& s) { Sampling(s).presence_penalty = INFINITY; },
              "presence_penalty inf is not a finite number"},
        Fault{"top_logprobs", [](auto& s) { Sampling(s).top_logprobs = 101; },
              "top_logprobs 101 is not in [-1, 100]"},
        Fault{"bias_token", [](auto& s) { Sampling(s).logit_bias = {{100, 1.0f}}; },
              "logit_bias of token 100 of 100"},
        Fault{"bias_twice", [](auto& s) { Sampling(s).logit_bias = {{1, 1.0f}, {1, 2.0f}}; },
              "logit_bias names token 1 twice"},
        Fault{"bias_nan", [](auto& s) { Sampling(s).logit_bias = {{1, kNan}}; },
              "logit_bias of token 1 is not a number"},
        Fault{"block_high", [](auto& s) { Pages(s).pages[1] = 10; }, "block 10 of 10"},
        Fault{"block_negative", [](auto& s) { Pages(s).pages[0] = -1; }, "block -1 of 10"},
        Fault{"short_table", [](auto& s) { Pages(s).pages = {0}; },
              "a block table of 1 pages for 70 positions, which take 2"},
        Fault{"no_table", [](auto& s) { s.group.pages.erase(s.group.pages.begin()); },
              "a block table of 0 pages for 70 positions, which take 2"},
        Fault{"gap_in_table", [](auto& s) { Pages(s).first = 1; },
              "2 pages from entry 1 on in a block table of 0 entries, of at most 3"},
        Fault{"negative_entry", [](auto& s) { Pages(s).first = -1; },
              "2 pages from entry -1 on in a block table of 0 entries, of at most 3"},
        Fault{"long_table", [](auto& s) { Pages(s).pages = {0, 1, 2, 5}; },
              "4 pages from entry 0 on in a block table of 0 entries, of at most 3"},
        Fault{"entry_overflow", [](auto& s) { Pages(s).first = INT32_MAX; },
              "2 pages from entry 2147483647 on in a block table of 0 entries, of at most 3"},
        Fault{"block_twice", [](auto& s) { Pages(s).pages = {0, 0}; },
              "may write block 0, which is in a block table already"},
        Fault{"two_writers",
              [](auto& s) {
                std::swap(s.group.pages[0], s.group.pages[1]);
                s.group.pages[1].pages = {0, 4};
              },
              "may write block 4, which is in a block table already"},
        Fault{"writes_a_shared_block",
              [](auto& s) {
                std::swap(s.group.pages[0], s.group.pages[1]);
                s.group.pages[1].pages = {3, 1};
              },
              "may write block 3, which is in a block table already"},
        Fault{"reads_a_written_block",
              [](auto& s) {
                std::swap(s.group.pages[0], s.group.pages[1]);
                First(s).num_computed = 64;
                s.group.pages[1].pages = {4, 1};
              },
              "reads block 4, which a sequence may still write"},
        Fault{"rows_beyond_its_tokens", [](auto& s) { First(s).num_computed = 1; },
              "70 rows of a sequence with 69 tokens to compute"},
        Fault{"drafts_after_a_part", [](auto& s) { s.group.rows[0].drafts = 1; },
              "1 drafts to verify and 0 drafts to make where nothing is drawn"},
        Fault{"drafts_to_make_at_the_end",
              [](auto& s) {
                First(s).end.max_size = 70;
                s.group.rows[0].next_drafts = 1;
                s.header.drafting = {{0, 1}};
              },
              "0 drafts to verify and 1 drafts to make where nothing is drawn"},
        Fault{"drafts_beyond_the_end",
              [](auto& s) {
                First(s).tokens.resize(69);
                First(s).prompt_size = 69;
                First(s).end.max_size = 70;
                s.group.rows[0].drafts = 1;
              },
              "1 drafts to verify of a sequence that ends after 1 more tokens"}),
    NameOf);

class OfAStepTest : public ::testing::TestWithParam<Fault> {};

TEST_P(OfAStepTest, IsAnError) {
  SequenceTable table = Table();
  model::RankStep plan = GoodStep();
  GetParam().make(plan);
  const absl::Status status = table.Begin(plan).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_EQ(status.message(), std::string("step 1 of epoch 7: ") + GetParam().says);
}

INSTANTIATE_TEST_SUITE_P(
    Faults, OfAStepTest,
    ::testing::Values(
        Fault{"step_late", [](auto& s) { s.header.step = 2; }, "step 2 came in its place"},
        Fault{"step_zero", [](auto& s) { s.header.step = 0; }, "step 0 came in its place"},
        Fault{"groups_few", [](auto& s) { s.header.rows_of_group = {71}; },
              "rows_of_group has 1 entries for 2 dp groups"},
        Fault{"groups_many",
              [](auto& s) {
                s.header.rows_of_group = {3, 71, 0};
              },
              "rows_of_group has 3 entries for 2 dp groups"},
        Fault{"rows_negative", [](auto& s) { s.header.rows_of_group[0] = -1; },
              "rows_of_group says -1 rows; a dp group takes 200"},
        Fault{"rows_high", [](auto& s) { s.header.rows_of_group[0] = 201; },
              "rows_of_group says 201 rows; a dp group takes 200"},
        Fault{"rows_do_not_add_up",
              [](auto& s) {
                s.header.rows_of_group = {71, 72};
              },
              "rows_of_group says 72 rows of dp group 1, and its sequences have 71"},
        Fault{"rows_none", [](auto& s) { s.group.rows[1].rows = 0; },
              "0 rows at slot 1; a sequence has 1 to 192, and 1 beside its drafts in a step of decodes only"},
        Fault{
            "rows_beyond_the_context", [](auto& s) { s.group.rows[0].rows = 193; },
            "193 rows at slot 0; a sequence has 1 to 192, and 1 beside its drafts in a step of decodes only"},
        Fault{"rows_overflow", [](auto& s) { s.group.rows[0].rows = INT32_MAX; },
              "2147483647 rows at slot 0; a sequence has 1 to 192, and 1 beside its drafts in a step of "
              "decodes only"},
        Fault{"drafts_many", [](auto& s) { s.group.rows[0].drafts = 3; },
              "3 drafts to verify and 0 to make, with 70 rows at slot 0; a sequence has 0 to 2"},
        Fault{"drafts_alone", [](auto& s) { s.group.rows[1].drafts = 1; },
              "1 drafts to verify and 0 to make, with 1 rows at slot 1; a sequence has 0 to 2"},
        Fault{"drafts_to_make_many", [](auto& s) { s.group.rows[1].next_drafts = 3; },
              "0 drafts to verify and 3 to make, with 1 rows at slot 1; a sequence has 0 to 2"},
        Fault{"drafting_long",
              [](auto& s) {
                s.header.drafting = {{0, 0}, {0, 0}, {0, 0}};
              },
              "drafting has 3 entries; a sequence makes at most 2 drafts"},
        Fault{"drafting_of_few_groups", [](auto& s) { s.header.drafting = {{0}}; },
              "drafting has 1 entries for 2 dp groups"},
        Fault{"drafting_many",
              [](auto& s) {
                s.header.drafting = {{4, 0}};
              },
              "drafting says 4 sequences; a step takes 3 of a dp group"},
        Fault{"drafting_of_nobody",
              [](auto& s) {
                s.header.drafting = {{0, 1}};
              },
              "drafting says that 1 sequences of dp group 1 make more than 0 drafts, and 0 do"},
        Fault{"rows_twice", [](auto& s) { s.group.rows[1].slot = 0; }, "slot 0 has rows twice"},
        Fault{"many_sequences",
              [](auto& s) {
                for (SequenceSlot slot = 2; slot < 4; ++slot)
                  s.group.rows.push_back({.slot = slot, .rows = 1});
              },
              "rows of 4 sequences; a step takes 3 of a dp group"},
        Fault{"slot_unknown", [](auto& s) { s.group.rows[1].slot = 2; },
              "rows names slot 2; slots are in [0, 12), and this one has no sequence"},
        Fault{"slot_negative", [](auto& s) { s.group.rows[1].slot = -1; },
              "rows names slot -1; slots are in [0, 12), and this one has no sequence"},
        Fault{"slot_high", [](auto& s) { s.group.pages[1].slot = 12; },
              "pages names slot 12; slots are in [0, 12), and this one has no sequence"},
        Fault{"slot_taken", [](auto& s) { s.group.opened[1].slot = 0; },
              "sequence 2 is opened at slot 0; slots are in [0, 12), and its slot must be free"},
        Fault{"opened_high", [](auto& s) { s.group.opened[1].slot = 12; },
              "sequence 2 is opened at slot 12; slots are in [0, 12), and its slot must be free"},
        Fault{"opened_negative", [](auto& s) { s.group.opened[1].slot = -3; },
              "sequence 2 is opened at slot -3; slots are in [0, 12), and its slot must be free"},
        Fault{"closed_unknown", [](auto& s) { s.group.closed = {5}; },
              "closed names slot 5; slots are in [0, 12), and this one has no sequence"},
        Fault{
            "decodes_only_of_a_prompt", [](auto& s) { s.header.decodes_only = true; },
            "70 rows at slot 0; a sequence has 1 to 192, and 1 beside its drafts in a step of decodes only"},
        Fault{"decodes_only_of_a_prompts_end",
              [](auto& s) {
                s.header = {.epoch = 7, .step = 1, .rows_of_group = {0, 1}, .decodes_only = true};
                s.group.opened[0].num_computed = 69;
                s.group.rows = {{.slot = 0, .rows = 1}};
              },
              "decodes_only, and sequence 1 computes position 69 of 70 tokens, 70 of its prompt"},
        Fault{"decodes_only_of_a_replay",
              [](auto& s) {
                s.header = {.epoch = 7, .step = 1, .rows_of_group = {0, 1}, .decodes_only = true};
                s.group.opened[1].num_computed = 62;
                s.group.rows = {{.slot = 1, .rows = 1}};
              },
              "decodes_only, and sequence 2 computes position 62 of 65 tokens, 60 of its prompt"}),
    NameOf);

TEST(SequenceFaultTest, AnotherEpochIsAFailedPrecondition) {
  for (const Epoch epoch : {6, 8}) {
    SequenceTable table = Table();
    model::RankStep plan = GoodStep();
    plan.header.epoch = epoch;
    EXPECT_EQ(table.Begin(plan).status().code(), absl::StatusCode::kFailedPrecondition);
  }
}

TEST(SequenceFaultTest, AnOutcomeThatTheStepCannotHaveIsAnError) {
  for (const std::vector<TokenId>& outcomes :
       std::vector<std::vector<TokenId>>{{3}, {3, 4, 5}, {kNoToken, 4}, {3, 100}, {3, -3}}) {
    SequenceTable table = Table();
    const auto step = table.Begin(GoodStep());
    ASSERT_TRUE(step.ok()) << step.status();
    EXPECT_EQ(table.Accept(*step, {.tokens = outcomes, .drafts = {}}).code(), absl::StatusCode::kInternal);
  }
  // A decode with a draft, which is token 0: nothing was drafted before.
  for (const StepOutcomes& outcomes :
       std::vector<StepOutcomes>{{{3, 4, kNoToken}, {}},     // no next draft
                                 {{3, 4}, {1}},              // no entry for the draft
                                 {{3, 4, 5}, {1}},           // kept although the draft was not right
                                 {{3, 0, kNotFinite}, {1}},  // after a right draft
                                 {{3, kNoToken, 4}, {1}},
                                 {{3, 4, kNoToken}, {100}}}) {  // not a token
    SequenceTable table = Table();
    model::RankStep plan = GoodStep();
    plan.group.rows[1] = {.slot = 1, .rows = 2, .drafts = 1, .next_drafts = 1};
    plan.header.rows_of_group[1] = 72;
    plan.header.drafting = {{0, 1}};
    const auto step = table.Begin(plan);
    ASSERT_TRUE(step.ok()) << step.status();
    EXPECT_EQ(table.Accept(*step, outcomes).code(), absl::StatusCode::kInternal);
  }
  // Of a sequence that draws nothing.
  SequenceTable table = Table();
  model::RankStep plan = GoodStep();
  plan.header.rows_of_group[1] = 70;
  plan.group.rows[0].rows = 69;
  const auto step = table.Begin(plan);
  ASSERT_TRUE(step.ok()) << step.status();
  EXPECT_EQ(table.Accept(*step, {.tokens = {3, 4}, .drafts = {}}).code(), absl::StatusCode::kInternal);
}

}  // namespace
}  // namespace deeprack::worker
