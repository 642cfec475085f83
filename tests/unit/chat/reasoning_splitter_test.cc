#include "coordinator/chat/reasoning_splitter.h"

#include "gtest/gtest.h"
#include "tests/unit/chat/byte_tokenizer.h"

namespace deeprack::coordinator {
namespace {

struct Split {
  std::string reasoning, content, hidden;
  bool operator==(const Split&) const = default;
};

void PrintTo(const Split& split, std::ostream* out) {
  *out << "{" << split.reasoning << "|" << split.content << "|" << split.hidden << "}";
}

ReplyFormat Format() {
  return {.think_begin = ByteTokenizer::kThinkBegin, .think_end = ByteTokenizer::kThinkEnd};
}

// Gives the splitter one token at a time, as an answer arrives.
Split SplitAnswer(const std::string& answer, ReasoningStart start = ReasoningStart::kOpenByPrompt) {
  const ByteTokenizer tokenizer;
  ReasoningSplitter splitter(Format(), start);
  Split split;
  ReplyPieces pieces;
  for (const TokenId id : tokenizer.Ids(answer)) {
    const std::string_view text = tokenizer.TokenBytes(id, /*show_special=*/true);
    if (splitter.IsTag(id)) {
      splitter.OnTag(id, text, pieces);
    } else {
      split.content += splitter.OnText(text, pieces);
    }
  }
  splitter.EndReasoning(pieces);
  for (const ReplyPiece& piece : pieces) {
    (piece.place == ReplyPlace::kReasoning ? split.reasoning : split.hidden) += piece.text;
  }
  return split;
}

TEST(ReasoningSplitter, TheTagHasOneLineBreakBeforeAndTwoAfter) {
  EXPECT_EQ(SplitAnswer("2 and 2\n</think>\n\n4"), (Split{"2 and 2", "4", "\n</think>\n\n"}));
  EXPECT_EQ(SplitAnswer("2 and 2</think>4"), (Split{"2 and 2", "4", "</think>"}));
  EXPECT_EQ(SplitAnswer("2 and 2</think>\n4"), (Split{"2 and 2", "4", "</think>\n"}));
}

TEST(ReasoningSplitter, KeepsAllOtherLineBreaks) {
  EXPECT_EQ(SplitAnswer("\n\na\n\nb\n\n</think>\n\n\nc\n\nd\n"),
            (Split{"\n\na\n\nb\n", "\nc\n\nd\n", "\n</think>\n\n"}));
}

TEST(ReasoningSplitter, AnAnswerMayEndInReasoning) {
  EXPECT_EQ(SplitAnswer("still at it\n"), (Split{"still at it\n", "", ""}));
}

TEST(ReasoningSplitter, EmptyReasoning) {
  EXPECT_EQ(SplitAnswer("\n</think>\n\nfour"), (Split{"", "four", "\n</think>\n\n"}));
}

TEST(ReasoningSplitter, ATagOfTheReplyHasOneLineBreakAfter) {
  EXPECT_EQ(SplitAnswer("<think>\n\na\n</think>\nb"), (Split{"\na", "b", "<think>\n\n</think>\n"}));
  EXPECT_EQ(SplitAnswer("<think>a</think>b", ReasoningStart::kMayOpen), (Split{"a", "b", "<think></think>"}));
}

TEST(ReasoningSplitter, WithoutAnOpenTagAllIsContentUnlessTheModelOpensOne) {
  EXPECT_EQ(SplitAnswer("\nplain", ReasoningStart::kNone), (Split{"", "\nplain", ""}));
  EXPECT_EQ(SplitAnswer("x</think>y", ReasoningStart::kMayOpen), (Split{"", "x</think>y", ""}));
}

TEST(ReasoningSplitter, AfterToolOutputsReasoningGoesOnToTheEndTag) {
  EXPECT_EQ(SplitAnswer("a</think>b", ReasoningStart::kUntilThinkEnd), (Split{"a", "b", "</think>"}));
}

TEST(ReasoningSplitter, OnlyTheFirstEndCounts) {
  EXPECT_EQ(SplitAnswer("a</think>b</think>c"), (Split{"a", "b</think>c", "</think>"}));
}

TEST(ReasoningSplitter, ATagInLettersIsText) {
  ReasoningSplitter splitter(Format(), ReasoningStart::kOpenByPrompt);
  ReplyPieces pieces;
  for (const char c : std::string_view("a</think>b")) {
    ASSERT_FALSE(splitter.IsTag(static_cast<unsigned char>(c)));
    EXPECT_EQ(splitter.OnText(std::string_view(&c, 1), pieces), "");
  }
  EXPECT_TRUE(splitter.in_reasoning());
  EXPECT_EQ(pieces.TakeText(), "a</think>b");
}

TEST(ReasoningSplitter, AVocabularyWithoutTagsHasNoReasoning) {
  ReasoningSplitter splitter({}, ReasoningStart::kOpenByPrompt);
  ReplyPieces pieces;
  EXPECT_FALSE(splitter.in_reasoning());
  EXPECT_EQ(splitter.OnText("\ntext", pieces), "\ntext");
}

}  // namespace
}  // namespace deeprack::coordinator
