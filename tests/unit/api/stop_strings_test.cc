#include "coordinator/api/stop_strings.h"

#include "gtest/gtest.h"

namespace deeprack::coordinator {
namespace {

// Feeds the text in pieces of every size. All sizes must give the same result.
std::string InPieces(const std::vector<std::string>& stop, const std::string& text, bool include,
                     bool* matched) {
  std::string whole;
  for (size_t piece = 1; piece <= text.size(); ++piece) {
    StopStrings strings(stop, include);
    std::string out;
    for (size_t at = 0; at < text.size(); at += piece) out += strings.Append(text.substr(at, piece));
    out += strings.Flush();
    if (piece > 1) {
      EXPECT_EQ(out, whole) << "pieces of " << piece;
    }
    whole = out;
    *matched = strings.matched();
  }
  return whole;
}

TEST(StopStrings, CutsBeforeTheMatch) {
  bool matched = false;
  EXPECT_EQ(InPieces({"END"}, "one two END three", false, &matched), "one two ");
  EXPECT_TRUE(matched);
}

TEST(StopStrings, MayKeepTheMatch) {
  bool matched = false;
  EXPECT_EQ(InPieces({"END"}, "one END two", true, &matched), "one END");
}

TEST(StopStrings, GivesBackWhatWasNoMatch) {
  bool matched = true;
  EXPECT_EQ(InPieces({"ENDE", "xyz"}, "END EN E xy", false, &matched), "END EN E xy");
  EXPECT_FALSE(matched);
}

TEST(StopStrings, FindsAMatchThatBeginsInsideAFailedOne) {
  bool matched = false;
  EXPECT_EQ(InPieces({"aab"}, "aaab", false, &matched), "a");
  EXPECT_TRUE(matched);
}

TEST(StopStrings, HoldsBackOnlyWhatMightMatch) {
  StopStrings strings({"\n\nUser:"});
  EXPECT_EQ(strings.Append("Hi\n"), "Hi");
  EXPECT_EQ(strings.Append("there\n\nUs"), "\nthere");
  EXPECT_EQ(strings.Append("A"), "\n\nUsA");
}

TEST(StopStrings, WithoutStringsAllPasses) {
  StopStrings strings({});
  EXPECT_EQ(strings.Append("text"), "text");
  EXPECT_EQ(strings.Flush(), "");
}

TEST(StopStrings, NamesTheMatch) {
  StopStrings strings({"xy", "END", "ENDE", "D"});
  EXPECT_EQ(strings.Append("one EN"), "one ");
  EXPECT_EQ(strings.match(), "");
  EXPECT_EQ(strings.Append("DE xy"), "");
  EXPECT_EQ(strings.match(), "END");
}

}  // namespace
}  // namespace deeprack::coordinator
