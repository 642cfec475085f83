#include "coordinator/chat/reasoning_splitter.h"

#include "gtest/gtest.h"
#include "tests/unit/chat/byte_tokenizer.h"

namespace deeprack::coordinator {
namespace {

struct Split {
  std::string reasoning, content;
  bool operator==(const Split&) const = default;
};

void PrintTo(const Split& split, std::ostream* out) {
  *out << "{" << split.reasoning << "|" << split.content << "}";
}

// Gives the splitter one token at a time, as an answer arrives.
Split SplitAnswer(const std::string& answer, bool in_reasoning) {
  const ByteTokenizer tokenizer;
  ReasoningSplitter splitter(ByteTokenizer::kThinkBegin, ByteTokenizer::kThinkEnd, in_reasoning);
  Split split;
  for (const TokenId id : tokenizer.Ids(answer)) {
    const bool tag = splitter.IsTag(id);
    splitter.OnToken(id);
    if (tag) continue;
    const std::string text = splitter.Filter(tokenizer.TokenBytes(id, /*show_special=*/true));
    (splitter.in_reasoning() ? split.reasoning : split.content) += text;
  }
  return split;
}

TEST(ReasoningSplitter, SplitsAtTheTag) {
  EXPECT_EQ(SplitAnswer("2 and 2\n</think>\n\n4", true), (Split{"2 and 2", "4"}));
  EXPECT_EQ(SplitAnswer("2 and 2</think>4", true), (Split{"2 and 2", "4"}));
}

TEST(ReasoningSplitter, KeepsLineBreaksInside) {
  EXPECT_EQ(SplitAnswer("\n\na\n\nb\n\n</think>\n\nc\n\nd\n", true), (Split{"a\n\nb", "c\n\nd\n"}));
}

TEST(ReasoningSplitter, AnAnswerMayEndInReasoning) {
  EXPECT_EQ(SplitAnswer("still at i", true), (Split{"still at i", ""}));
}

TEST(ReasoningSplitter, EmptyReasoning) {
  EXPECT_EQ(SplitAnswer("\n</think>\n\nfour", true), (Split{"", "four"}));
}

TEST(ReasoningSplitter, TheModelMayRepeatTheOpeningTag) {
  EXPECT_EQ(SplitAnswer("<think>\na\n</think>\nb", true), (Split{"a", "b"}));
}

TEST(ReasoningSplitter, WithoutAnOpenTagAllIsContentUnlessTheModelOpensOne) {
  EXPECT_EQ(SplitAnswer("\nplain", false), (Split{"", "\nplain"}));
  EXPECT_EQ(SplitAnswer("<think>a</think>b", false), (Split{"a", "b"}));
  EXPECT_EQ(SplitAnswer("x</think>y", false), (Split{"", "x</think>y"}));
}

TEST(ReasoningSplitter, OnlyTheFirstEndCounts) {
  EXPECT_EQ(SplitAnswer("a</think>b</think>c", true), (Split{"a", "b</think>c"}));
}

TEST(ReasoningSplitter, ATagInLettersIsText) {
  ReasoningSplitter splitter(ByteTokenizer::kThinkBegin, ByteTokenizer::kThinkEnd, true);
  std::string reasoning;
  for (const char c : std::string_view("a</think>b")) {
    const TokenId id = static_cast<unsigned char>(c);
    ASSERT_FALSE(splitter.IsTag(id));
    splitter.OnToken(id);
    reasoning += splitter.Filter(std::string_view(&c, 1));
  }
  EXPECT_EQ(reasoning, "a</think>b");
  EXPECT_TRUE(splitter.in_reasoning());
}

TEST(ReasoningSplitter, AVocabularyWithoutTagsHasNoReasoning) {
  ReasoningSplitter splitter(std::nullopt, std::nullopt, true);
  EXPECT_FALSE(splitter.in_reasoning());
  EXPECT_EQ(splitter.Filter("\ntext"), "\ntext");
}

}  // namespace
}  // namespace deeprack::coordinator
