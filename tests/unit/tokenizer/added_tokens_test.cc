#include "coordinator/tokenizer/added_tokens.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace deeprack::coordinator {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> Spans(const AddedTokenMatcher& matcher, std::string_view text,
                               std::vector<ByteRange> control) {
  std::vector<TextSpan> spans;
  matcher.Split(text, control, &spans);
  std::vector<std::string> shown;
  for (const TextSpan& span : spans) {
    shown.push_back((span.token < 0 ? "" : std::to_string(span.token) + ":") + std::string(span.text));
  }
  return shown;
}

std::vector<std::string> Spans(const AddedTokenMatcher& matcher, std::string_view text, bool allow_control) {
  return Spans(matcher, text, allow_control ? std::vector<ByteRange>{{0, text.size()}} : std::vector<ByteRange>());
}

TEST(AddedTokens, LeftmostThenLongest) {
  AddedTokenMatcher matcher;
  matcher.Add("<a>", 1, true);
  matcher.Add("<a><b>", 2, true);
  matcher.Add("a><b", 3, true);
  EXPECT_THAT(Spans(matcher, "x<a><b>y", true), ElementsAre("x", "2:<a><b>", "y"));
  EXPECT_THAT(Spans(matcher, "<a><c>", true), ElementsAre("1:<a>", "<c>"));
  EXPECT_THAT(Spans(matcher, "a><b>", true), ElementsAre("3:a><b", ">"));
}

TEST(AddedTokens, ALongerOneThatDoesNotEndIsNotMissedFor) {
  AddedTokenMatcher matcher;
  matcher.Add("ab", 1, false);
  matcher.Add("abcdef", 2, false);
  matcher.Add("cd", 3, false);
  EXPECT_THAT(Spans(matcher, "abcdex", false), ElementsAre("1:ab", "3:cd", "ex"));
}

TEST(AddedTokens, ControlTokensStayTextUnlessAllowed) {
  AddedTokenMatcher matcher;
  matcher.Add("<s>", 1, true);
  matcher.Add("word", 2, false);
  EXPECT_THAT(Spans(matcher, "a<s>word<s>", false), ElementsAre("a<s>", "2:word", "<s>"));
  EXPECT_THAT(Spans(matcher, "a<s>word<s>", true), ElementsAre("a", "1:<s>", "2:word", "1:<s>"));
}

TEST(AddedTokens, NothingIsFoundInsideARefusedControlToken) {
  AddedTokenMatcher matcher;
  matcher.Add("<word>", 1, true);
  matcher.Add("word", 2, false);
  EXPECT_THAT(Spans(matcher, "<word>word", false), ElementsAre("<word>", "2:word"));
}

TEST(AddedTokens, ControlTokensLieWhollyInARange) {
  AddedTokenMatcher matcher;
  matcher.Add("<s>", 1, true);
  matcher.Add("</s>", 2, true);
  EXPECT_THAT(Spans(matcher, "<s><s></s><s>", {{3, 6}, {10, 13}}), ElementsAre("<s>", "1:<s>", "</s>", "1:<s>"));
  EXPECT_THAT(Spans(matcher, "<s>", {{0, 2}}), ElementsAre("<s>"));
  EXPECT_THAT(Spans(matcher, "<s>", {{1, 3}}), ElementsAre("<s>"));
}

TEST(AddedTokens, TextOutsideARangeHidesNoTokenInTheRange) {
  AddedTokenMatcher matcher;
  matcher.Add("a<s", 1, true);
  matcher.Add("<s>", 2, true);
  matcher.Add("<s>x", 3, true);
  EXPECT_THAT(Spans(matcher, "a<s>", {{1, 4}}), ElementsAre("a", "2:<s>"));
  EXPECT_THAT(Spans(matcher, "<s>x", {{0, 3}}), ElementsAre("2:<s>", "x"));
}

TEST(AddedTokens, EmptyTextHasNoSpans) {
  AddedTokenMatcher matcher;
  matcher.Add("a", 1, false);
  EXPECT_THAT(Spans(matcher, "", true), ElementsAre());
  EXPECT_THAT(Spans(matcher, "b", true), ElementsAre("b"));
}

}  // namespace
}  // namespace deeprack::coordinator
