#include "coordinator/api/sequence_text.h"

#include "gtest/gtest.h"
#include "tests/unit/chat/byte_tokenizer.h"

namespace deeprack::coordinator {
namespace {

struct Outcome {
  TextDelta text;
  bool stopped = false;
};

Outcome TextOf(const std::string& answer, TextOptions options) {
  const ByteTokenizer tokenizer;
  SequenceText text(&tokenizer, options);
  Outcome outcome;
  const auto take = [&](const TextDelta& delta) {
    outcome.text.reasoning += delta.reasoning;
    outcome.text.content += delta.content;
    for (const ToolCallDelta& call : delta.tool_calls) outcome.text.tool_calls.push_back(call);
  };
  for (const TokenId id : tokenizer.Ids(answer)) take(text.Append(id));
  take(text.Finish());
  outcome.stopped = text.stopped();
  return outcome;
}

TextOptions Chat(std::vector<std::string> stop = {}) {
  const ByteTokenizer tokenizer;
  return {.stop = std::move(stop),
          .chat = ChatTemplate::Create(&tokenizer)->tokens(),
          .in_reasoning = true,
          .parse_tool_calls = true};
}

TEST(SequenceText, ReasoningThenContent) {
  const Outcome outcome = TextOf("two and two\n</think>\n\nfour 🌍", Chat());
  EXPECT_EQ(outcome.text.reasoning, "two and two");
  EXPECT_EQ(outcome.text.content, "four 🌍");
}

TEST(SequenceText, NeverGivesOutHalfACharacter) {
  const ByteTokenizer tokenizer;
  SequenceText text(&tokenizer, {});
  const std::vector<TokenId> ids = tokenizer.Ids("é");
  EXPECT_EQ(text.Append(ids[0]).content, "");
  EXPECT_EQ(text.Append(ids[1]).content, "é");
  EXPECT_EQ(text.Append(ids[0]).content, "");
  EXPECT_EQ(text.Finish().content, "\xEF\xBF\xBD");
}

TEST(SequenceText, StopsInReasoningAndInContent) {
  Outcome outcome = TextOf("one STOP two</think>three", Chat({"STOP"}));
  EXPECT_TRUE(outcome.stopped);
  EXPECT_EQ(outcome.text.reasoning, "one ");
  EXPECT_EQ(outcome.text.content, "");
  outcome = TextOf("one</think>two STOP three", Chat({"STOP"}));
  EXPECT_TRUE(outcome.stopped);
  EXPECT_EQ(outcome.text.content, "two ");
}

TEST(SequenceText, AStopStringDoesNotReachAcrossTheTag) {
  const Outcome outcome = TextOf("one ST</think>OP two", Chat({"STOP"}));
  EXPECT_FALSE(outcome.stopped);
  EXPECT_EQ(outcome.text.reasoning, "one ST");
  EXPECT_EQ(outcome.text.content, "OP two");
}

TEST(SequenceText, ToolCalls) {
  const Outcome outcome = TextOf(
      "hm</think>See:<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{}\n"
      "```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
      Chat());
  EXPECT_EQ(outcome.text.content, "See:");
  ASSERT_EQ(outcome.text.tool_calls.size(), 1u);
  EXPECT_EQ(outcome.text.tool_calls[0].name, "f");
}

TEST(SequenceText, OutsideAChatTagsAreSpecialTokens) {
  EXPECT_EQ(TextOf("a</think>b", {}).text.content, "ab");
  EXPECT_EQ(TextOf("a</think>b", {.show_special = true}).text.content, "a</think>b");
}

}  // namespace
}  // namespace deeprack::coordinator
