#include "coordinator/chat/reply_format.h"

#include "gtest/gtest.h"
#include "tests/unit/chat/byte_tokenizer.h"

namespace deeprack::coordinator {
namespace {

TEST(ReplyFormatTest, FencedArgumentsAreR1s) {
  const ByteTokenizer tokenizer;
  const ReplyFormat format = FindReplyFormat(
      "{{'<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>' + type + '\\n```json\\n'}}", tokenizer);
  EXPECT_EQ(format.tool_calls, ToolCallForm::kDeepSeekR1);
  EXPECT_EQ(format.tool_sep, tokenizer.TokenToId("<｜tool▁sep｜>"));
  EXPECT_EQ(format.think_begin, ByteTokenizer::kThinkBegin);
  EXPECT_EQ(format.think_end, ByteTokenizer::kThinkEnd);
}

TEST(ReplyFormatTest, BareArgumentsAreV31s) {
  const ReplyFormat format =
      FindReplyFormat("{{'<｜tool▁calls▁begin｜>' + name + '<｜tool▁sep｜>'}}", ByteTokenizer());
  EXPECT_EQ(format.tool_calls, ToolCallForm::kDeepSeekV31);
}

TEST(ReplyFormatTest, MarkersThatTheVocabularyLacksAreNoForm) {
  const ReplyFormat format = FindReplyFormat("<tool_call>\n{...}\n</tool_call>", ByteTokenizer());
  EXPECT_EQ(format.tool_calls, ToolCallForm::kNone);
  EXPECT_FALSE(format.tool_call_begin);
}

TEST(ReplyFormatTest, ATemplateWithoutCallsHasNoForm) {
  const ReplyFormat format = FindReplyFormat("{{ messages[0].content }}", ByteTokenizer());
  EXPECT_EQ(format.tool_calls, ToolCallForm::kNone);
  EXPECT_FALSE(format.tool_calls_begin);
}

}  // namespace
}  // namespace deeprack::coordinator
