// SequenceTable: what a step of sequences looks like, and how it goes on from its outcomes.
#include "worker/sequences/sequence_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <utility>
#include <vector>

namespace deeprack::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr Epoch kEpoch = 7;

SequenceTableOptions Options() {
  return {.epoch = kEpoch,
          .dp = 2,
          .dp_rank = 1,
          .vocab_size = 1000,
          .blocks = 10,
          .limits = {.max_step_tokens = 400, .max_sequences = 3, .max_context = 320}};
}

// Tokens first, first + 1, ...
std::vector<TokenId> Tokens(int32_t count, TokenId first) {
  std::vector<TokenId> tokens(static_cast<size_t>(count));
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

model::RankStep Step(StepId step, model::GroupPlan group) {
  int32_t rows = 0;
  for (const model::SequenceRows& sequence : group.rows) rows += sequence.rows;
  return {.header = {.epoch = kEpoch, .step = step, .rows_of_group = {17, rows}}, .group = std::move(group)};
}

GroupStep Begin(SequenceTable& table, model::RankStep step) {
  auto begun = table.Begin(std::move(step));
  EXPECT_TRUE(begun.ok()) << begun.status();
  return begun.ok() ? *std::move(begun) : GroupStep{};
}

void Accept(SequenceTable& table, const GroupStep& step, std::vector<TokenId> outcomes,
            std::vector<TokenId> drafts = {}) {
  const absl::Status accepted =
      table.Accept(step, {.tokens = std::move(outcomes), .drafts = std::move(drafts)});
  EXPECT_TRUE(accepted.ok()) << accepted;
}

// A prompt of 70 tokens, from 100 on, in slot 3 on pages 4 and 2.
model::GroupPlan OpenLong(model::EndRule end = {.max_size = 100}) {
  model::OpenedSequence opened = {
      .slot = 3, .sequence = 9, .prompt_size = 70, .tokens = Tokens(70, 100), .end = std::move(end)};
  return {.opened = {opened}, .pages = {{.slot = 3, .first = 0, .pages = {4, 2}}}};
}

TEST(SequenceTableTest, APromptInChunksThenDecodes) {
  SequenceTable table(Options());
  model::GroupPlan group = OpenLong();
  group.opened[0].sampling.seed = 55;
  group.rows = {{.slot = 3, .rows = 40}};
  GroupStep step = Begin(table, Step(1, group));
  EXPECT_EQ(step.epoch, kEpoch);
  EXPECT_EQ(step.step, 1u);
  EXPECT_THAT(step.rows_of_group, ElementsAre(17, 40));
  EXPECT_FALSE(step.decodes_only);
  EXPECT_FALSE(step.has_outcomes());
  ASSERT_EQ(step.sequences.size(), 1u);
  {
    const StepSequence& s = step.sequences[0];
    EXPECT_EQ(s.slot, 3);
    EXPECT_EQ(s.sequence, 9u);
    EXPECT_EQ(s.rows, 40);
    EXPECT_FALSE(s.padding);
    EXPECT_EQ(s.refused, "");
    EXPECT_THAT(s.block_table, ElementsAre(4, 2));
    EXPECT_EQ(s.prompt_size, 70);
    EXPECT_EQ(s.num_computed, 0);
    EXPECT_EQ(s.token_ids.size(), 40u);
    EXPECT_EQ(s.token_ids.front(), 100);
    EXPECT_EQ(s.token_ids.back(), 139);
    EXPECT_FALSE(s.sample);
    EXPECT_EQ(s.prompt_logprobs, -1);
    EXPECT_EQ(s.next_prompt_token(), 140);
  }
  Accept(table, step, {kNoToken});

  step = Begin(table, Step(2, {.rows = {{.slot = 3, .rows = 30}}}));
  EXPECT_TRUE(step.has_outcomes());
  EXPECT_EQ(step.sequences[0].num_computed, 40);
  EXPECT_EQ(step.sequences[0].token_ids.front(), 140);
  EXPECT_EQ(step.sequences[0].token_ids.back(), 169);
  EXPECT_TRUE(step.sequences[0].sample);
  EXPECT_EQ(step.sequences[0].sampling->seed, 55u);
  EXPECT_EQ(step.sequences[0].next_prompt_token(), -1);
  Accept(table, step, {501});

  model::RankStep decode = Step(3, {.rows = {{.slot = 3, .rows = 1}}});
  decode.header.decodes_only = true;
  step = Begin(table, decode);
  EXPECT_TRUE(step.decodes_only);
  EXPECT_EQ(step.sequences[0].num_computed, 70);
  EXPECT_THAT(step.sequences[0].token_ids, ElementsAre(501));
  EXPECT_TRUE(step.sequences[0].sample);
  Accept(table, step, {502});
  step = Begin(table, Step(4, {.rows = {{.slot = 3, .rows = 1}}}));
  EXPECT_EQ(step.sequences[0].num_computed, 71);
  EXPECT_THAT(step.sequences[0].token_ids, ElementsAre(502));
}

TEST(SequenceTableTest, RowsComeInThePlansOrderAndASequenceMayPause) {
  SequenceTable table(Options());
  model::GroupPlan group = OpenLong();
  group.opened.push_back(
      {.slot = 11, .sequence = 4, .prompt_size = 1, .tokens = {8}, .end = {.max_size = 9}});
  group.pages.push_back({.slot = 11, .first = 0, .pages = {0}});
  group.rows = {{.slot = 11, .rows = 1}, {.slot = 3, .rows = 2}};
  GroupStep step = Begin(table, Step(1, group));
  ASSERT_EQ(step.sequences.size(), 2u);
  EXPECT_EQ(step.sequences[0].sequence, 4u);
  EXPECT_EQ(step.sequences[1].sequence, 9u);
  Accept(table, step, {5, kNoToken});
  step = Begin(table, Step(2, {.rows = {{.slot = 11, .rows = 1}}}));
  EXPECT_THAT(step.sequences[0].token_ids, ElementsAre(5));
  Accept(table, step, {6});
  step = Begin(table, Step(3, {}));
  EXPECT_THAT(step.sequences, IsEmpty());
  Accept(table, step, {});
  step = Begin(table, Step(4, {.rows = {{.slot = 3, .rows = 1}, {.slot = 11, .rows = 1}}}));
  EXPECT_THAT(step.sequences[0].token_ids, ElementsAre(102));
  EXPECT_THAT(step.sequences[1].token_ids, ElementsAre(6));
}

TEST(SequenceTableTest, AReplayComputesOutputsAgainAndThenGoesOn) {
  SequenceTable table(Options());
  model::GroupPlan group = {
      .opened = {{.slot = 0,
                  .sequence = 1,
                  .prompt_size = 65,
                  .tokens = Tokens(70, 100),
                  .num_computed = 64,
                  .end = {.max_size = 100}}},
      .pages = {{.slot = 0, .first = 0, .pages = {4}}, {.slot = 0, .first = 1, .pages = {2}}},
      .rows = {{.slot = 0, .rows = 4}}};
  GroupStep step = Begin(table, Step(1, group));
  EXPECT_THAT(step.sequences[0].token_ids, ElementsAre(164, 165, 166, 167));
  EXPECT_FALSE(step.sequences[0].sample);
  EXPECT_EQ(step.sequences[0].next_prompt_token(), -1);
  Accept(table, step, {kNoToken});
  step = Begin(table, Step(2, {.rows = {{.slot = 0, .rows = 2}}}));
  EXPECT_TRUE(step.sequences[0].sample);
  Accept(table, step, {3});
  step = Begin(table, Step(3, {.rows = {{.slot = 0, .rows = 1}}}));
  EXPECT_THAT(step.sequences[0].token_ids, ElementsAre(3));
  EXPECT_EQ(step.sequences[0].num_computed, 70);
}

TEST(SequenceTableTest, AfterItsEndASequencesRowsArePadding) {
  struct Case {
    model::EndRule end;
    TokenId token;
    bool ends;
  };
  for (const Case& c : {Case{{.stop_tokens = {8, 9}, .max_size = 100}, 9, true},
                        Case{{.stop_tokens = {8, 9}, .max_size = 100}, 7, false},
                        Case{{.stop_tokens = {8, 9}, .ignore_stops = true, .max_size = 100}, 9, false},
                        Case{{.max_size = 71}, 7, true}, Case{{.max_size = 72}, 7, false},
                        Case{{.max_size = 72}, kNotFinite, true}}) {
    SequenceTable table(Options());
    model::GroupPlan group = OpenLong(c.end);
    group.rows = {{.slot = 3, .rows = 70}};
    GroupStep step = Begin(table, Step(1, group));
    Accept(table, step, {c.token});
    model::RankStep next = Step(2, {.rows = {{.slot = 3, .rows = 1}}});
    next.header.decodes_only = true;
    step = Begin(table, next);
    const StepSequence& s = step.sequences[0];
    EXPECT_EQ(s.padding, c.ends);
    EXPECT_EQ(s.rows, 1);
    EXPECT_EQ(s.sequence, 9u);
    EXPECT_EQ(s.refused, "");
    EXPECT_EQ(step.has_outcomes(), !c.ends);
    if (!c.ends) continue;
    EXPECT_THAT(s.token_ids, IsEmpty());
    EXPECT_FALSE(s.sample);
    EXPECT_THAT(s.block_table, IsEmpty());
    Accept(table, step, {kNoToken});
    // Another sequence may have its pages before it is closed.
    model::GroupPlan other = OpenLong();
    other.opened[0].slot = other.pages[0].slot = 1;
    other.rows = {{.slot = 1, .rows = 2}, {.slot = 3, .rows = 4}};
    step = Begin(table, Step(3, other));
    EXPECT_EQ(step.sequences[0].refused, "");
    EXPECT_THAT(step.sequences[0].block_table, ElementsAre(4, 2));
    EXPECT_TRUE(step.sequences[1].padding);
  }
}

TEST(SequenceTableTest, NothingIsDrawnAtTheLargestSize) {
  SequenceTable table(Options());
  model::GroupPlan group = OpenLong({.max_size = 70});
  group.rows = {{.slot = 3, .rows = 70}};
  const GroupStep step = Begin(table, Step(1, group));
  EXPECT_FALSE(step.sequences[0].sample);
  EXPECT_FALSE(step.sequences[0].padding);
  Accept(table, step, {kNoToken});
}

TEST(SequenceTableTest, StopTokensAreForbiddenUntilTheOutputIsLongEnough) {
  SequenceTable table(Options());
  model::GroupPlan group = OpenLong({.stop_tokens = {8, 9}, .min_tokens = 2, .max_size = 100});
  group.opened[0].sampling.logit_bias = {{8, 2.0f}, {5, 1.0f}};
  group.opened[0].sampling.temperature = 0.5f;
  group.rows = {{.slot = 3, .rows = 70}};
  using Biases = std::vector<std::pair<TokenId, float>>;
  const Biases forbidden = {{8, -1e30f}, {5, 1.0f}, {9, -1e30f}}, given = {{8, 2.0f}, {5, 1.0f}};
  const Biases expected[] = {forbidden, forbidden, given, given};
  for (StepId number = 1; number <= 4; ++number) {
    const GroupStep step = Begin(table, Step(number, group));
    EXPECT_EQ(step.sequences[0].SamplingOf(0).logit_bias, expected[number - 1]) << number;
    EXPECT_EQ(step.sequences[0].sampling->temperature, 0.5f);
    Accept(table, step, {7});
    group = {.rows = {{.slot = 3, .rows = 1}}};
  }
  // Opened again with the tokens of its output.
  SequenceTable other(Options());
  model::GroupPlan again = OpenLong({.stop_tokens = {8, 9}, .min_tokens = 2, .max_size = 100});
  again.opened[0].prompt_size = 68;
  again.rows = {{.slot = 3, .rows = 70}};
  EXPECT_THAT(Begin(other, Step(1, again)).sequences[0].sampling->logit_bias, IsEmpty());
}

TEST(SequenceTableTest, PenaltiesHaveCountsOfPromptAndOutput) {
  for (const bool penalties : {true, false}) {
    SequenceTable table(Options());
    model::GroupPlan group = {.opened = {{.slot = 0,
                                          .sequence = 1,
                                          .prompt_size = 3,
                                          .tokens = {5, 6, 5, 6, 7},
                                          .end = {.max_size = 100}}},
                              .pages = {{.slot = 0, .first = 0, .pages = {1}}},
                              .rows = {{.slot = 0, .rows = 2}}};
    if (penalties) group.opened[0].sampling.frequency_penalty = 0.5f;
    GroupStep step = Begin(table, Step(1, group));
    EXPECT_THAT(step.sequences[0].token_counts, IsEmpty()) << "nothing is drawn";
    Accept(table, step, {kNoToken});
    step = Begin(table, Step(2, {.rows = {{.slot = 0, .rows = 3}}}));
    const std::vector<TokenCount> first = {{5, 2, 0}, {6, 1, 1}, {7, 0, 1}};
    EXPECT_THAT(step.sequences[0].token_counts,
                ::testing::ElementsAreArray(penalties ? first : std::vector<TokenCount>{}));
    Accept(table, step, {7});
    step = Begin(table, Step(3, {.rows = {{.slot = 0, .rows = 1}}}));
    const std::vector<TokenCount> second = {{5, 2, 0}, {6, 1, 1}, {7, 0, 2}};
    EXPECT_THAT(step.sequences[0].token_counts,
                ::testing::ElementsAreArray(penalties ? second : std::vector<TokenCount>{}));
  }
}

TEST(SequenceTableTest, PromptTokensAreScoredWhileOneFollows) {
  SequenceTable table(Options());
  model::GroupPlan group = OpenLong();
  group.opened[0].prompt_logprobs = 2;
  group.rows = {{.slot = 3, .rows = 69}};
  GroupStep step = Begin(table, Step(1, group));
  EXPECT_EQ(step.sequences[0].prompt_logprobs, 2);
  EXPECT_EQ(step.sequences[0].next_prompt_token(), 169);
  EXPECT_TRUE(step.has_outcomes());
  Accept(table, step, {kNoToken});
  step = Begin(table, Step(2, {.rows = {{.slot = 3, .rows = 1}}}));
  EXPECT_EQ(step.sequences[0].prompt_logprobs, -1) << "no prompt token follows the last one";
  Accept(table, step, {3});
  // A score that is not finite ends the sequence before it draws.
  SequenceTable other(Options());
  step = Begin(other, Step(1, group));
  Accept(other, step, {kNotFinite});
  EXPECT_TRUE(Begin(other, Step(2, {.rows = {{.slot = 3, .rows = 1}}})).sequences[0].padding);
}

TEST(SequenceTableTest, AClosedSlotAndItsPagesAreFreeInTheSameStep) {
  SequenceTable table(Options());
  model::GroupPlan group = OpenLong();
  group.rows = {{.slot = 3, .rows = 66}};
  Accept(table, Begin(table, Step(1, group)), {kNoToken});
  group = OpenLong();
  group.closed = {3};
  group.opened[0].sequence = 10;
  group.rows = {{.slot = 3, .rows = 1}};
  const GroupStep step = Begin(table, Step(2, group));
  EXPECT_EQ(step.sequences[0].sequence, 10u);
  EXPECT_EQ(step.sequences[0].num_computed, 0);
  EXPECT_EQ(step.sequences[0].refused, "");
}

TEST(SequenceTableTest, CompletePagesAreShared) {
  SequenceTable table(Options());
  model::GroupPlan group = OpenLong();
  group.rows = {{.slot = 3, .rows = 66}};
  Accept(table, Begin(table, Step(1, group)), {kNoToken});
  // Page 4 is complete, page 2 is not.
  const auto guest = [](SequenceSlot slot, SequenceId sequence, std::vector<BlockId> pages) {
    return model::GroupPlan{.opened = {{.slot = slot,
                                        .sequence = sequence,
                                        .prompt_size = 130,
                                        .tokens = Tokens(130, 100),
                                        .num_computed = 64 * (static_cast<int32_t>(pages.size()) - 1),
                                        .end = {.max_size = 131}}},
                            .pages = {{.slot = slot, .first = 0, .pages = pages}},
                            .rows = {{.slot = slot, .rows = 2}}};
  };
  GroupStep step = Begin(table, Step(2, guest(0, 20, {4, 5})));
  EXPECT_EQ(step.sequences[0].refused, "");
  EXPECT_EQ(step.sequences[0].num_computed, 64);
  EXPECT_THAT(step.sequences[0].block_table, ElementsAre(4, 5));
  Accept(table, step, {kNoToken});
  step = Begin(table, Step(3, guest(1, 21, {4, 2, 6})));
  EXPECT_EQ(step.sequences[0].refused, "sequence 21: reads block 2, which a sequence may still write");
  Accept(table, step, {kNoToken});
  step = Begin(table, Step(4, guest(2, 22, {4, 4})));
  EXPECT_EQ(step.sequences[0].refused, "sequence 22: may write block 4, which is in a block table already");
  Accept(table, step, {kNoToken});
  // The last reader's end frees the page, also for a writer.
  step = Begin(table, Step(5, {.closed = {3, 0, 1, 2}}));
  Accept(table, step, {});
  EXPECT_EQ(Begin(table, Step(6, guest(2, 23, {4}))).sequences[0].refused, "");
}

TEST(SequenceTableTest, APageChangeReplacesEntriesAndAppends) {
  SequenceTable table(Options());
  Accept(table, Begin(table, Step(1, OpenLong())), {});
  GroupStep step =
      Begin(table,
            Step(2, {.pages = {{.slot = 3, .first = 1, .pages = {7, 8}}}, .rows = {{.slot = 3, .rows = 1}}}));
  EXPECT_THAT(step.sequences[0].block_table, ElementsAre(4, 7, 8));
  Accept(table, step, {kNoToken});
  // An entry in the middle; entries after it stay. An entry that is told again stays.
  step =
      Begin(table,
            Step(3, {.pages = {{.slot = 3, .first = 0, .pages = {4, 2}}}, .rows = {{.slot = 3, .rows = 1}}}));
  EXPECT_THAT(step.sequences[0].block_table, ElementsAre(4, 2, 8));
  Accept(table, step, {kNoToken});
  // The page that was replaced is free.
  model::GroupPlan other = {
      .opened = {{.slot = 0, .sequence = 2, .prompt_size = 1, .tokens = {8}, .end = {.max_size = 9}}},
      .pages = {{.slot = 0, .first = 0, .pages = {7}}},
      .rows = {{.slot = 0, .rows = 1}}};
  EXPECT_EQ(Begin(table, Step(4, other)).sequences[0].refused, "");
}

}  // namespace
}  // namespace deeprack::worker
