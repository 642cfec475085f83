#include "coordinator/tokenizer/split_pattern.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "coordinator/tokenizer/regex_dialect.h"

namespace deeprack::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> Split(std::string_view regex, std::string_view text) {
  auto pattern = SplitPattern::Compile(regex);
  EXPECT_TRUE(pattern.ok()) << pattern.status();
  std::vector<std::string_view> pieces;
  EXPECT_TRUE(pattern->Split(text, &pieces).ok());
  return {pieces.begin(), pieces.end()};
}

TEST(SplitPattern, KeepsMatchesAndWhatLiesBetween) {
  EXPECT_THAT(Split(R"(\p{N}{1,3})", "ab12345 c6"), ElementsAre("ab", "123", "45", " c", "6"));
  EXPECT_THAT(Split("x", ""), ElementsAre());
  EXPECT_THAT(Split("x", "abc"), ElementsAre("abc"));
}

TEST(SplitPattern, LookaheadStopsAtTheText) {
  EXPECT_THAT(Split(R"(\s+(?!\S)|\s+)", "a   b  "), ElementsAre("a", "  ", " ", "b", "  "));
}

TEST(SplitPattern, SpacesAreUnicodes) {
  EXPECT_THAT(Split(R"(\s)", "a\u180Eb\u2003c\u0085d"),
              ElementsAre("a\u180Eb", "\u2003", "c", "\u0085", "d"));
  EXPECT_THAT(Split(R"([\S]+)", "a\u180Eb\u2003c"), ElementsAre("a\u180Eb", "\u2003", "c"));
  EXPECT_THAT(Split(R"(\S+)", "a b"), ElementsAre("a", " ", "b"));
}

TEST(SplitPattern, CategoriesKnowUnicode16) {
  EXPECT_THAT(Split(R"(\p{L}+)", "1\U000105C02"), ElementsAre("1", "\U000105C0", "2"));
  EXPECT_THAT(Split(R"([^\p{L}]+)", "1\U000105C02"), ElementsAre("1", "\U000105C0", "2"));
  EXPECT_THAT(Split(R"(\P{N}+)", "1\U00010D40a"), ElementsAre("1\U00010D40", "a"));
}

TEST(SplitPattern, CaseOnlyWhereAsked) {
  EXPECT_THAT(Split("(?i:'s|'ll)|x", "A'SX'lL\u2019sx"), ElementsAre("A", "'S", "X", "'lL", "\u2019s", "x"));
}

TEST(SplitPattern, ADollarEndsAnyLine) {
  EXPECT_THAT(Split(R"(\s+$)", "a \nb  "), ElementsAre("a", " ", "\nb", "  "));
}

TEST(SplitPattern, RefusesWhatTheDialectsReadDifferently) {
  for (std::string_view regex :
       {"^a",         "a.",        R"(\d+)",      R"(\w)",  R"(\b)",      R"(a\z)", "(?<=a)b", "(?>a)",
        "(?x: a)",    "(*UCP)a",   "[[:alpha:]]", "[a&&b]", "[]a]",       "a{,3}",  "a{2}+",   "a{",
        R"(\p{Han})", R"(\p{Lu})", R"(\p{)",      R"(\p)",  R"([\P{L}])", R"(\)",   "[a"}) {
    const auto translated = ToPcre2(regex);
    ASSERT_FALSE(translated.ok()) << regex << " became " << *translated;
    EXPECT_THAT(std::string(translated.status().message()), HasSubstr("not supported")) << regex;
  }
}

TEST(SplitPattern, RefusesBrokenAndEmptyMatchingOnes) {
  EXPECT_FALSE(SplitPattern::Compile("(a").ok());
  EXPECT_FALSE(SplitPattern::Compile("a*").ok());
  EXPECT_FALSE(SplitPattern::Compile("").ok());
  EXPECT_FALSE(SplitPattern::Compile("\xFF").ok());
}

TEST(SplitPattern, ARunawayRegexIsStopped) {
  auto pattern = SplitPattern::Compile("(a+)+[bc]");
  ASSERT_TRUE(pattern.ok());
  std::vector<std::string_view> pieces;
  const std::string text(64, 'a');
  EXPECT_EQ(pattern->Split(text, &pieces).code(), absl::StatusCode::kResourceExhausted);
}

TEST(SplitPattern, LongTexts) {
  const std::string spaces(1 << 20, ' ');
  EXPECT_EQ(Split(R"(\s*[\r\n]+|\s+(?!\S)|\s+)", spaces + "a").size(), 3u);
  EXPECT_EQ(Split(R"(\p{L}+)", std::string(1 << 20, 'a')).size(), 1u);
}

}  // namespace
}  // namespace deeprack::coordinator
