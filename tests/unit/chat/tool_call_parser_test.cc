#include "coordinator/chat/tool_call_parser.h"

#include "gtest/gtest.h"
#include "tests/unit/chat/byte_tokenizer.h"

namespace deeprack::coordinator {
namespace {

struct Parsed {
  std::string content;
  std::vector<ToolCall> calls;
};

Parsed ParseAnswer(const std::string& answer) {
  const ByteTokenizer tokenizer;
  ToolCallParser parser(ChatTemplate::Create(&tokenizer)->tokens());
  Parsed parsed;
  for (const TokenId id : tokenizer.Ids(answer)) {
    if (parser.IsMarker(id)) {
      parser.OnMarker(id);
      if (auto call = parser.TakeCall()) parsed.calls.push_back(*call);
      continue;
    }
    const std::string_view text = tokenizer.TokenBytes(id, /*show_special=*/true);
    if (!parser.Consume(text)) parsed.content += text;
  }
  return parsed;
}

TEST(ToolCallParser, FindsCalls) {
  const Parsed parsed = ParseAnswer(
      "Let me "
      "look.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>weather\n```json\n{\"city\": "
      "\"Köln\"}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>time\n```json\n{}\n"
      "```<｜tool▁call▁end｜><｜tool▁calls▁end｜>done");
  EXPECT_EQ(parsed.content, "Let me look.done");
  ASSERT_EQ(parsed.calls.size(), 2u);
  EXPECT_EQ(parsed.calls[0].name, "weather");
  EXPECT_EQ(parsed.calls[0].arguments, "{\"city\": \"Köln\"}");
  EXPECT_EQ(parsed.calls[1].name, "time");
  EXPECT_EQ(parsed.calls[1].arguments, "{}");
}

TEST(ToolCallParser, DropsWhatIsNoCall) {
  const Parsed parsed = ParseAnswer(
      "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>weather<｜tool▁call▁end｜>"
      "<｜tool▁call▁begin｜>function<｜tool▁sep｜>\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>");
  EXPECT_TRUE(parsed.calls.empty());
  EXPECT_EQ(parsed.content, "");
}

TEST(ToolCallParser, MarkersOutsideAListAreText) {
  EXPECT_EQ(ParseAnswer("a<｜tool▁sep｜>b").content, "a<｜tool▁sep｜>b");
}

}  // namespace
}  // namespace deeprack::coordinator
