// Tool calls as constraints. The constraint accepts each call that the reply's parser reads. The parser reads
// each random answer of the constraint as whole calls.
#include "coordinator/chat/tool_call_tags.h"

#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_replace.h"
#include "constraint/compile.h"
#include "coordinator/chat/tool_call_parser.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/unit/chat/reply_forms.h"

namespace deeprack::coordinator {
namespace {

std::shared_ptr<const constraint::Vocabulary> ByteVocabulary() {
  const ByteTokenizer tokenizer;
  std::vector<std::string> texts(tokenizer.vocab_size());
  for (TokenId id = 0; id < 256; ++id) texts[id] = tokenizer.TokenBytes(id, /*show_special=*/false);
  const TokenId end[] = {ByteTokenizer::kEos};
  return *constraint::Vocabulary::Make(std::move(texts), tokenizer.vocab_size(), end);
}

// [ and ] stand for the markers of a list of calls, ( and ) for the markers of a call, | for the separator.
// The Hermes form has the tokens of ( and ) as its markers.
ReplyFormat FormatWithTokens(ToolCallForm form) {
  if (form != ToolCallForm::kHermes) return FormatOf(form);
  ReplyFormat format = FormatOf(form);
  const ByteTokenizer tokenizer;
  format.tool_call_begin = tokenizer.TokenToId("<｜tool▁call▁begin｜>");
  format.tool_call_end = tokenizer.TokenToId("<｜tool▁call▁end｜>");
  return format;
}

std::vector<TokenId> Ids(const std::string& text) {
  return ByteTokenizer().Ids(absl::StrReplaceAll(text, {{"[[", "<｜tool▁calls▁begin｜>"},
                                                        {"]]", "<｜tool▁calls▁end｜>"},
                                                        {"((", "<｜tool▁call▁begin｜>"},
                                                        {"))", "<｜tool▁call▁end｜>"},
                                                        {"||", "<｜tool▁sep｜>"}}));
}

const std::vector<CallableFunction> kFunctions = {
    {"add", R"({"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]})"},
    {"now", R"({"type":"object","properties":{},"additionalProperties":false})"}};

bool Accepts(const std::string& tags, const std::string& text) {
  const auto compiled = constraint::Compile(ByteVocabulary(), {model::ConstraintKind::kTags, tags},
                                            constraint::MaskTime::kOnDemand);
  EXPECT_TRUE(compiled.ok()) << compiled.status();
  auto matcher = *(*compiled)->NewMatcher("");
  for (const TokenId id : Ids(text)) {
    if (!*matcher->Accept(id)) return false;
  }
  return matcher->complete();
}

TEST(ToolCallTags, HaveTheFormsOfTheTemplates) {
  const ReplyFormat r1 = FormatWithTokens(ToolCallForm::kDeepSeekR1),
                    v31 = FormatWithTokens(ToolCallForm::kDeepSeekV31),
                    hermes = FormatWithTokens(ToolCallForm::kHermes);
  const std::string r1_call = "((function||add\n```json\n{\"a\": 5}\n```))",
                    r1_now = "((function||now\n```json\n{}\n```))";
  EXPECT_TRUE(Accepts(ToolCallTags(r1, kFunctions, true), "[[" + r1_call + "\n" + r1_now + "]]"));
  EXPECT_FALSE(Accepts(ToolCallTags(r1, kFunctions, false), "[[" + r1_call + "\n" + r1_now + "]]"));
  EXPECT_TRUE(Accepts(ToolCallTags(r1, kFunctions, false), "[[" + r1_call + "]]"));
  EXPECT_FALSE(
      Accepts(ToolCallTags(r1, kFunctions, true), "[[((function||add\n```json\n{\"a\": true}\n```))]]"));
  EXPECT_FALSE(Accepts(ToolCallTags(r1, kFunctions, true), "text"));
  EXPECT_TRUE(Accepts(ToolCallTags(v31, kFunctions, true), "[[((add||{\"a\":1}))((now||{}))]]"));
  EXPECT_FALSE(Accepts(ToolCallTags(v31, kFunctions, true), "[[((other||{}))]]"));
  EXPECT_TRUE(Accepts(ToolCallTags(hermes, kFunctions, true),
                      "((\n{\"name\": \"add\", \"arguments\": {\"a\":1}}\n))\n((\n{\"name\": \"now\", "
                      "\"arguments\": {}}\n))"));
  EXPECT_TRUE(Accepts(ToolCallTags(v31, kFunctions, true, R"({"type":"integer"})"), "17"));
  EXPECT_TRUE(Accepts(ToolCallTags(v31, kFunctions, true, R"({"type":"integer"})"), "[[((now||{}))]]"));
  EXPECT_TRUE(Accepts(
      RepeatedToolCallTags(hermes, kFunctions, true),
      "((\n{\"name\": \"now\", \"arguments\": {}}\n))((\n{\"name\": \"now\", \"arguments\": {}}\n))"));
}

TEST(ToolCallTags, RandomAnswersAreReadAsWholeCalls) {
  std::mt19937 random(3);
  const ByteTokenizer tokenizer;
  for (const ToolCallForm form :
       {ToolCallForm::kDeepSeekR1, ToolCallForm::kDeepSeekV31, ToolCallForm::kHermes}) {
    const ReplyFormat format = FormatWithTokens(form);
    const auto compiled = *constraint::Compile(
        ByteVocabulary(), {model::ConstraintKind::kTags, ToolCallTags(format, kFunctions, true)},
        constraint::MaskTime::kOnDemand);
    int finished = 0;
    for (int round = 0; round < 30; ++round) {
      auto matcher = *compiled->NewMatcher("");
      ToolCallParser parser(format);
      ReplyPieces pieces;
      for (int step = 0; step < 400 && !matcher->complete(); ++step) {
        std::vector<uint32_t> mask(constraint::MaskWords(tokenizer.vocab_size()));
        ASSERT_TRUE(matcher->Fill(mask).ok());
        std::vector<TokenId> allowed;
        for (TokenId id = 0; id < tokenizer.vocab_size(); ++id) {
          if (mask[id / 32] >> (id % 32) & 1) allowed.push_back(id);
        }
        ASSERT_FALSE(allowed.empty());
        const TokenId id = allowed[random() % allowed.size()];
        ASSERT_TRUE(*matcher->Accept(id));
        const std::string_view text = tokenizer.TokenBytes(id, /*show_special=*/true);
        parser.IsMarker(id) ? parser.OnMarker(id, text, pieces) : parser.OnText(text, pieces);
      }
      if (!matcher->complete()) continue;
      ++finished;
      parser.Finish(pieces);
      std::string arguments;
      int names = 0, whole = 0;
      for (const ReplyPiece& piece : pieces) {
        EXPECT_NE(piece.place, ReplyPlace::kContent) << piece.text;
        if (piece.place == ReplyPlace::kCallName) {
          ++names;
          arguments.clear();
          EXPECT_TRUE(piece.shown == "add" || piece.shown == "now") << piece.shown;
        }
        if (piece.place == ReplyPlace::kCallArguments) arguments += piece.shown;
        if (piece.place == ReplyPlace::kCallWhole) {
          ++whole;
          EXPECT_TRUE(nlohmann::json::parse(arguments, nullptr, false).is_object()) << arguments;
        }
      }
      EXPECT_GT(names, 0);
      EXPECT_EQ(whole, names);
    }
    EXPECT_GT(finished, 5);
  }
}

}  // namespace
}  // namespace deeprack::coordinator
