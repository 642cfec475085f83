// SequenceTable: sequences with constraints.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "constraint/vocabulary.h"
#include "worker/sequences/sequence_table.h"

namespace deeprack::worker {
namespace {

constexpr TokenId kEnd = 300;
constexpr int32_t kVocabSize = 301;

std::shared_ptr<const constraint::Vocabulary> ByteVocabulary() {
  std::vector<std::string> texts(256);
  for (int byte = 0; byte < 256; ++byte) texts[byte].assign(1, static_cast<char>(byte));
  const TokenId end[] = {kEnd};
  return *constraint::Vocabulary::Make(std::move(texts), kVocabSize, end);
}

SequenceTable MakeTable(std::shared_ptr<const constraint::Vocabulary> vocabulary) {
  return SequenceTable({.epoch = 1,
                        .vocab_size = kVocabSize,
                        .blocks = 10,
                        .limits = {.max_step_tokens = 100, .max_sequences = 3, .max_context = 320},
                        .vocabulary = std::move(vocabulary)});
}

// A prompt of two tokens with `output` behind it, whose answer is "ab" or "ac".
model::OpenedSequence Opened(std::vector<TokenId> output = {}) {
  std::vector<TokenId> tokens = {1, 2};
  tokens.insert(tokens.end(), output.begin(), output.end());
  return {.slot = 0,
          .sequence = 9,
          .prompt_size = 2,
          .tokens = tokens,
          .end = {.stop_tokens = {kEnd}, .max_size = 20},
          .constraint = model::Constraint{.spec = {model::ConstraintKind::kChoice, R"(["ab", "ac"])"}}};
}

GroupStep Begin(SequenceTable& table, StepId step, int32_t rows,
                std::vector<model::OpenedSequence> opened = {}) {
  model::GroupPlan group = {.opened = std::move(opened), .rows = {{.slot = 0, .rows = rows}}};
  if (!group.opened.empty()) group.pages = {{.slot = 0, .first = 0, .pages = {0}}};
  auto begun =
      table.Begin({.header = {.epoch = 1, .step = step, .rows_of_group = {rows}}, .group = std::move(group)});
  EXPECT_TRUE(begun.ok()) << begun.status();
  return *std::move(begun);
}

std::vector<TokenId> Allowed(const StepSequence& sequence) {
  std::vector<uint32_t> mask(constraint::MaskWords(kVocabSize));
  const absl::StatusOr<bool> masked = sequence.state->FillMask(mask);
  EXPECT_TRUE(masked.ok() && *masked) << masked.status();
  std::vector<TokenId> allowed;
  for (TokenId token = 0; token < kVocabSize; ++token) {
    if (mask[token / 32] >> (token % 32) & 1) allowed.push_back(token);
  }
  return allowed;
}

void Accept(SequenceTable& table, const GroupStep& step, TokenId token) {
  EXPECT_TRUE(table.Accept(step, {.tokens = {token}, .drafts = {}}).ok());
}

TEST(ConstrainedSequencesTest, TheStateFollowsTheDrawnTokens) {
  SequenceTable table = MakeTable(ByteVocabulary());
  GroupStep step = Begin(table, 1, 2, {Opened()});
  EXPECT_EQ(Allowed(step.sequences[0]), std::vector<TokenId>{'a'});
  Accept(table, step, 'a');
  step = Begin(table, 2, 1);
  EXPECT_EQ(Allowed(step.sequences[0]), (std::vector<TokenId>{'b', 'c'}));
  Accept(table, step, 'c');
  step = Begin(table, 3, 1);
  EXPECT_EQ(Allowed(step.sequences[0]), std::vector<TokenId>{kEnd});
  Accept(table, step, kEnd);
  EXPECT_TRUE(Begin(table, 4, 1).sequences[0].padding);
}

TEST(ConstrainedSequencesTest, ASequenceThatComesBackGoesOnAfterItsOutput) {
  SequenceTable table = MakeTable(ByteVocabulary());
  const GroupStep step = Begin(table, 1, 3, {Opened({'a'})});
  EXPECT_EQ(Allowed(step.sequences[0]), (std::vector<TokenId>{'b', 'c'}));
}

TEST(ConstrainedSequencesTest, AChunkThatDrawsNothingHasNoState) {
  SequenceTable table = MakeTable(ByteVocabulary());
  const GroupStep step = Begin(table, 1, 1, {Opened()});
  EXPECT_EQ(step.sequences[0].state, nullptr);
}

TEST(ConstrainedSequencesTest, ATokenThatIsNotAllowedEndsTheSequence) {
  SequenceTable table = MakeTable(ByteVocabulary());
  GroupStep step = Begin(table, 1, 2, {Opened()});
  Accept(table, step, 'x');
  step = Begin(table, 2, 1);
  EXPECT_TRUE(step.sequences[0].padding);
  EXPECT_EQ(step.sequences[0].refused,
            "sequence 9: its constraint does not allow token 120, which was drawn");
}

TEST(ConstrainedSequencesTest, RefusesWhatCannotBe) {
  const auto reason = [](SequenceTable table, model::OpenedSequence opened) {
    const auto rows = static_cast<int32_t>(opened.tokens.size());
    return std::string(Begin(table, 1, rows, {std::move(opened)}).sequences[0].refused);
  };
  EXPECT_EQ(reason(MakeTable(nullptr), Opened()), "sequence 9: this rank has no vocabulary for constraints");
  EXPECT_EQ(reason(MakeTable(ByteVocabulary()), Opened({'b'})),
            "sequence 9: the constraint does not allow token 0 of the output, 98");
  model::OpenedSequence wrong = Opened();
  wrong.constraint->spec.text = "[";
  EXPECT_EQ(reason(MakeTable(ByteVocabulary()), wrong), "sequence 9: the choices must be a list of strings");
  wrong = Opened();
  wrong.constraint->start = static_cast<model::OutputStart>(9);
  EXPECT_EQ(reason(MakeTable(ByteVocabulary()), wrong), "sequence 9: the constraint's start is 9");
  wrong = Opened();
  wrong.constraint->spec.kind = static_cast<model::ConstraintKind>(77);
  EXPECT_EQ(reason(MakeTable(ByteVocabulary()), wrong), "sequence 9: unknown kind of constraint");
}

}  // namespace
}  // namespace deeprack::worker
