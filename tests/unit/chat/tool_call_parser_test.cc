#include "coordinator/chat/tool_call_parser.h"

#include "absl/strings/str_replace.h"
#include "gtest/gtest.h"
#include "tests/unit/chat/reply_forms.h"

namespace deeprack::coordinator {
namespace {

struct Parsed {
  std::string text;  // of all pieces
  std::string content;
  std::vector<std::pair<std::string, std::string>> calls;  // name, arguments
  bool whole = false;
};

using Calls = std::vector<std::pair<std::string, std::string>>;

// In the texts of these tests, [ and ] stand for the markers of a list of calls, ( and ) for those of a call,
// and | for the separator.
std::string Markers(const std::string& text) {
  return absl::StrReplaceAll(text, {{"[", "<｜tool▁calls▁begin｜>"},
                                    {"]", "<｜tool▁calls▁end｜>"},
                                    {"(", "<｜tool▁call▁begin｜>"},
                                    {")", "<｜tool▁call▁end｜>"},
                                    {"|", "<｜tool▁sep｜>"}});
}

Parsed Parse(ToolCallForm form, const std::string& answer) {
  const ByteTokenizer tokenizer;
  ToolCallParser parser(FormatOf(form));
  ReplyPieces pieces;
  for (const TokenId id : tokenizer.Ids(answer)) {
    const std::string_view text = tokenizer.TokenBytes(id, /*show_special=*/true);
    parser.IsMarker(id) ? parser.OnMarker(id, text, pieces) : parser.OnText(text, pieces);
  }
  parser.Finish(pieces);
  Parsed parsed;
  for (const ReplyPiece& piece : pieces) {
    parsed.text += piece.text;
    if (piece.place == ReplyPlace::kContent) parsed.content += piece.shown;
    if (piece.place == ReplyPlace::kCallName) {
      parsed.calls.emplace_back(piece.shown, "");
      parsed.whole = false;
    }
    if (piece.place == ReplyPlace::kCallWhole) parsed.whole = true;
    if (piece.place == ReplyPlace::kCallArguments) parsed.calls.back().second += piece.shown;
  }
  EXPECT_EQ(parsed.text, answer);
  return parsed;
}

Parsed R1(const std::string& text) { return Parse(ToolCallForm::kDeepSeekR1, Markers(text)); }
Parsed V31(const std::string& text) { return Parse(ToolCallForm::kDeepSeekV31, Markers(text)); }
Parsed Hermes(const std::string& text) { return Parse(ToolCallForm::kHermes, text); }

TEST(ToolCallParser, R1FindsCalls) {
  const Parsed parsed =
      R1("Let me look.[(function|weather\n```json\n{\"city\": "
         "\"Köln\"}\n```)\n(function|time\n```json\n{}\n```)]done");
  EXPECT_EQ(parsed.content, "Let me look.done");
  EXPECT_EQ(parsed.calls, (Calls{{"weather", "{\"city\": \"Köln\"}"}, {"time", "{}"}}));
  EXPECT_TRUE(parsed.whole);
}

TEST(ToolCallParser, R1ArgumentsMayHaveFencesAndBracketsInStrings) {
  const std::string arguments = "{\"code\": \"```json\\n{}\\n```\", \"a\": {\"b\": \"}\\\"\"} }";
  EXPECT_EQ(R1("[(function|f\n```json\n" + arguments + "\n```)]").calls, (Calls{{"f", arguments}}));
}

TEST(ToolCallParser, R1ReadsArgumentsWithoutAFence) {
  EXPECT_EQ(R1("[(function|f\n{\"a\": 1})]").calls, (Calls{{"f", "{\"a\": 1}"}}));
}

TEST(ToolCallParser, WhatIsNoCallIsContentWithItsMarkers) {
  for (const char* text : {"[(function|weather)]", "[(function|\n```json\n{}\n```)]",
                           "[(function|f\nplease)]", "[(function)]", "[]", "[(", "[(function|wea", "a[b]c"}) {
    const Parsed parsed = R1(text);
    EXPECT_EQ(parsed.content, Markers(text));
    EXPECT_TRUE(parsed.calls.empty()) << text;
    EXPECT_FALSE(parsed.whole);
  }
  EXPECT_EQ(R1("a|b").content, Markers("a|b"));  // markers outside calls are text
}

TEST(ToolCallParser, ACallBesideAnUnreadableOneIsRead) {
  const Parsed parsed = R1("[(function|f)\n(function|g\n```json\n{}\n```)]");
  EXPECT_EQ(parsed.content, Markers("[(function|f)\n]"));
  EXPECT_EQ(parsed.calls, (Calls{{"g", "{}"}}));
  EXPECT_TRUE(parsed.whole);
}

TEST(ToolCallParser, TextBetweenCallsIsContent) {
  const Parsed parsed = R1("[(function|f\n```json\n{}\n```)\n and \n(function|g\n```json\n{}\n```)]");
  EXPECT_EQ(parsed.content, "\n and \n");
  EXPECT_EQ(parsed.calls.size(), 2u);
}

TEST(ToolCallParser, TextAfterCompleteArgumentsIsContent) {
  const Parsed parsed = R1("[(function|f\n```json\n{}\n``` as asked)]");
  EXPECT_EQ(parsed.content, "\n``` as asked");
  EXPECT_EQ(parsed.calls, (Calls{{"f", "{}"}}));
}

TEST(ToolCallParser, ACutCallHasItsNameAndTheArgumentsSoFar) {
  Parsed parsed = R1("[(function|f\n```json\n{\"city\": \"Kö");
  EXPECT_EQ(parsed.calls, (Calls{{"f", "{\"city\": \"Kö"}}));
  EXPECT_FALSE(parsed.whole);
  EXPECT_EQ(R1("[(function|f\n``").calls, (Calls{{"f", ""}}));
  parsed = R1("[(function|f\n```json\n{}\n``");
  EXPECT_EQ(parsed.calls, (Calls{{"f", "{}"}}));
  EXPECT_TRUE(parsed.whole);  // complete arguments
  EXPECT_FALSE(R1("[(function|f\n```json\n{}\n```)(function|g\n```json\n{").whole);
}

TEST(ToolCallParser, V31FindsCalls) {
  const Parsed parsed = V31("So:[(weather|{\"city\": \"Köln\"})(time|{})(now|)]");
  EXPECT_EQ(parsed.content, "So:");
  EXPECT_EQ(parsed.calls, (Calls{{"weather", "{\"city\": \"Köln\"}"}, {"time", "{}"}, {"now", "{}"}}));
  EXPECT_EQ(V31("[( |{})]").content, Markers("[( |{})]"));
  EXPECT_EQ(V31("[(f|").calls, (Calls{{"f", ""}}));
}

TEST(ToolCallParser, HermesFindsCalls) {
  const Parsed parsed = Hermes(
      "Look:\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": \"</tool_call>\"}}\n</tool_call>\n"
      "<tool_call>{\"arguments\": {\"b\": [1]}, \"id\": \"x\", \"name\": \"g\\u0041\"}</tool_call>\n");
  EXPECT_EQ(parsed.content, "Look:\n");
  EXPECT_EQ(parsed.calls, (Calls{{"f", "{\"a\": \"</tool_call>\"}"}, {"gA", "{\"b\": [1]}"}}));
  EXPECT_TRUE(parsed.whole);
  EXPECT_EQ(Hermes("<tool_call>{\"name\": \"f\"}</tool_call>").calls, (Calls{{"f", "{}"}}));
}

TEST(ToolCallParser, HermesUnreadableCallsAreContent) {
  for (const char* text : {"<tool_call>f()</tool_call>", "<tool_call>{\"nam\": \"f\"}</tool_call>",
                           "<tool_call>{\"name\": 1}</tool_call>", "<tool_call>{}</tool_call>",
                           "<tool_call>{\"name\": \"wea", "a <tool_cal", "<tool_call>\n", "x</tool_call>"}) {
    EXPECT_EQ(Hermes(text).content, text);
    EXPECT_TRUE(Hermes(text).calls.empty()) << text;
  }
}

TEST(ToolCallParser, HermesACallAfterAnUnreadableMarkerIsRead) {
  const Parsed parsed = Hermes("<tool_call><tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>");
  EXPECT_EQ(parsed.content, "<tool_call>");
  EXPECT_EQ(parsed.calls, (Calls{{"f", "{}"}}));
}

TEST(ToolCallParser, HermesCutCalls) {
  const Parsed parsed = Hermes("<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": ");
  EXPECT_EQ(parsed.calls, (Calls{{"f", "{\"a\": "}}));
  EXPECT_FALSE(parsed.whole);
}

}  // namespace
}  // namespace deeprack::coordinator
