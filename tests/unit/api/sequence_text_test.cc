#include "coordinator/api/sequence_text.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/api/reply_generator.h"
#include "tests/unit/chat/reply_forms.h"

namespace deeprack::coordinator {
namespace {

using ::testing::ElementsAre;

struct Outcome {
  std::string reasoning, content, call;  // `call`: the names and arguments of all calls
  std::vector<TextDelta> deltas;
  std::vector<PlacedToken> tokens;
  bool stopped = false;
  int64_t reasoning_tokens = 0;
};

Outcome TextOf(const std::vector<TokenId>& ids, const TextOptions& options,
               std::optional<TokenId> stop_token = {}) {
  const ByteTokenizer tokenizer;
  SequenceText text(&tokenizer, options);
  Outcome outcome;
  const auto take = [&] {
    for (const TextDelta& delta : text.Take()) {
      outcome.reasoning += delta.reasoning;
      outcome.content += delta.content;
      for (const ToolCallDelta& call : delta.tool_calls) outcome.call += call.name + call.arguments;
      for (const PlacedToken& token : delta.tokens) outcome.tokens.push_back(token);
      outcome.deltas.push_back(delta);
    }
  };
  for (const TokenId id : ids) {
    text.Append(id, model::PositionLogprobs{.chosen = {.token = id, .logprob = 0}});
    take();
  }
  if (stop_token) text.AppendStopToken(*stop_token);
  text.Finish();
  take();
  outcome.stopped = text.stopped();
  outcome.reasoning_tokens = text.reasoning_tokens();
  return outcome;
}

Outcome TextOf(const std::string& answer, const TextOptions& options,
               std::optional<TokenId> stop_token = {}) {
  return TextOf(ByteTokenizer().Ids(answer), options, stop_token);
}

TextOptions Chat(std::vector<std::string> stop = {}) {
  return {.stop = std::move(stop),
          .format = FormatOf(ToolCallForm::kDeepSeekR1),
          .reasoning = ReasoningStart::kOpenByPrompt,
          .parse_tool_calls = true};
}

std::vector<TokenId> IdsIn(const Outcome& outcome, TokenPlace place) {
  std::vector<TokenId> ids;
  for (const PlacedToken& token : outcome.tokens) {
    if (token.place == place) ids.push_back(token.logprobs.chosen.token);
  }
  return ids;
}

TEST(SequenceText, ReasoningThenContent) {
  const Outcome outcome = TextOf("two and two\n</think>\n\nfour 🌍", Chat());
  EXPECT_EQ(outcome.reasoning, "two and two");
  EXPECT_EQ(outcome.content, "four 🌍");
  EXPECT_EQ(outcome.reasoning_tokens, 11);
}

TEST(SequenceText, NeverGivesOutHalfACharacter) {
  const ByteTokenizer tokenizer;
  SequenceText text(&tokenizer, {});
  const std::vector<TokenId> ids = tokenizer.Ids("é");
  text.Append(ids[0]);
  EXPECT_TRUE(text.Take().empty());
  text.Append(ids[1]);
  EXPECT_EQ(text.Take().at(0).content, "é");
  text.Append(ids[0]);
  text.Finish();
  EXPECT_EQ(text.Take().at(0).content, "\xEF\xBF\xBD");
}

TEST(SequenceText, StopStringsLookAtContent) {
  Outcome outcome = TextOf("one STOP\n\n two\n</think>\n\ntwo STOP three", Chat({"STOP", "\n\n"}));
  EXPECT_TRUE(outcome.stopped);
  EXPECT_EQ(outcome.reasoning, "one STOP\n\n two");
  EXPECT_EQ(outcome.content, "two ");
}

TEST(SequenceText, StopStringsLookAtReasoningOnRequest) {
  TextOptions options = Chat({"STOP"});
  options.stop_in_reasoning = true;
  const Outcome outcome = TextOf("one STOP two</think>three", options);
  EXPECT_TRUE(outcome.stopped);
  EXPECT_EQ(outcome.reasoning, "one ");
  EXPECT_EQ(outcome.content, "");
  const Outcome across = TextOf("one ST</think>OP two", options);
  EXPECT_FALSE(across.stopped);
  EXPECT_EQ(across.reasoning, "one ST");
  EXPECT_EQ(across.content, "OP two");
}

TEST(SequenceText, ATagOrMarkerMayBeAStopString) {
  TextOptions options = Chat({"</think>"});
  Outcome outcome = TextOf("one\n</think>\n\ntwo", options);
  EXPECT_TRUE(outcome.stopped);
  EXPECT_EQ(outcome.reasoning, "one");
  EXPECT_EQ(outcome.content, "");
  options.include_stop = true;
  EXPECT_EQ(TextOf("one</think>two", options).reasoning, "one</think>");
  outcome = TextOf(
      "</think>So<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n{}"
      "<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
      Chat({"<｜tool▁calls▁begin｜>"}));
  EXPECT_TRUE(outcome.stopped);
  EXPECT_EQ(outcome.content, "So");
  EXPECT_EQ(outcome.call, "");
}

TEST(SequenceText, StopStringsDoNotLookAtToolCalls) {
  const Outcome outcome = TextOf(
      "</think><｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"a\": 1}\n"
      "```<｜tool▁call▁end｜><｜tool▁calls▁end｜>a: 1",
      Chat({"f", "\": "}));
  EXPECT_FALSE(outcome.stopped);
  EXPECT_EQ(outcome.call, "f{\"a\": 1}");
}

TEST(SequenceText, ToolCallsStream) {
  const Outcome outcome = TextOf(
      "hm</think>See:<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"a\": "
      "1}\n"
      "```<｜tool▁call▁end｜><｜tool▁calls▁end｜>!",
      Chat());
  EXPECT_EQ(outcome.content, "See:!");
  std::string order;
  std::vector<std::string> arguments;
  for (const TextDelta& delta : outcome.deltas) {
    if (!delta.content.empty()) order += 'c';
    for (const ToolCallDelta& call : delta.tool_calls) {
      order += call.name.empty() ? 'a' : 'n';
      EXPECT_EQ(call.call, 0);
      if (call.name.empty()) arguments.push_back(call.arguments);
    }
  }
  EXPECT_EQ(order, "ccccnaaaaaaac");
  EXPECT_THAT(arguments, ElementsAre("{", "\"", "a", "\"", ":", " 1", "}"));
}

TEST(SequenceText, OneTokenMayMakeSeveralDeltas) {
  // The list's end decides that the marker is content, after a call and before the content that follows.
  TextOptions options = Chat();
  options.format = FormatOf(ToolCallForm::kHermes);
  options.reasoning = ReasoningStart::kNone;
  const ByteTokenizer tokenizer;
  SequenceText text(&tokenizer, options);
  for (const TokenId id : tokenizer.Ids("<tool_call>{\"name\": \"f\", \"arguments\": 1}</tool_call>\n \n"))
    text.Append(id);
  for (const TokenId id : tokenizer.Ids("x<tool_call>{\"name\": \"g\"")) text.Append(id);
  text.Finish();
  const std::vector<TextDelta> deltas = text.Take();
  ASSERT_EQ(deltas.size(), 2u);
  EXPECT_EQ(deltas[0].tool_calls.at(0).name, "f");
  EXPECT_EQ(deltas[0].tool_calls.at(0).arguments, "1");
  EXPECT_EQ(deltas[1].content, "\n \nx");
  EXPECT_EQ(deltas[1].tool_calls.at(0).name, "g");
  EXPECT_EQ(deltas[1].tool_calls.at(0).call, 1);
}

TEST(SequenceText, AMarkerOfCallsEndsTheReasoning) {
  const Outcome outcome = TextOf(
      "hm\n<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{}\n"
      "```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
      Chat());
  EXPECT_EQ(outcome.reasoning, "hm\n");
  EXPECT_EQ(outcome.call, "f{}");
}

// A byte that begins no character is text, so the <think> behind it is text, too.
TEST(SequenceText, AByteThatIsNoTextBeforeATag) {
  for (const ToolCallForm form : {ToolCallForm::kNone, ToolCallForm::kDeepSeekR1}) {
    const TextOptions options = {
        .format = FormatOf(form), .reasoning = ReasoningStart::kMayOpen, .parse_tool_calls = true};
    const Outcome outcome = TextOf(std::vector<TokenId>{0xc3, ByteTokenizer::kThinkBegin, 'a'}, options);
    EXPECT_EQ(outcome.content, "\uFFFDa");
    EXPECT_EQ(outcome.reasoning, "");
  }
}

TEST(SequenceText, EndsAfterItsOneToolCall) {
  const std::string call =
      "<｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{}\n```<｜tool▁call▁end｜>";
  TextOptions options = Chat({"STOP"});
  options.one_tool_call = true;
  const ByteTokenizer tokenizer;
  const std::vector<TokenId> first = tokenizer.Ids("</think>x<｜tool▁calls▁begin｜>" + call);
  SequenceText text(&tokenizer, options);
  for (const TokenId id : first) {
    EXPECT_FALSE(text.stopped());
    text.Append(id);
  }
  EXPECT_TRUE(text.stopped() && text.last_call_whole());
  EXPECT_EQ(text.stop_string(), "");
  const Outcome outcome = TextOf("</think>x<｜tool▁calls▁begin｜>" + call + call + "y", options);
  EXPECT_EQ(outcome.call, "f{}");
  EXPECT_EQ(outcome.content, "x");
  // A call that the end of the reply cuts has not ended the reply.
  const Outcome cut = TextOf("</think><｜tool▁calls▁begin｜>" + call.substr(0, call.find("{}") + 1), options);
  EXPECT_EQ(cut.call, "f{");
  EXPECT_FALSE(cut.stopped);
  // A text that is no call is content, and ends nothing.
  EXPECT_EQ(TextOf("</think><｜tool▁call▁begin｜>f<｜tool▁call▁end｜>" + call, options).call, "f{}");
}

// Text behind a stop string closes no call, even if a token has both.
TEST(SequenceText, ACallThatClosesBehindAStopStringIsNotWhole) {
  TextOptions options = Chat({"STOP"});
  options.format = FormatOf(ToolCallForm::kHermes);
  options.reasoning = ReasoningStart::kNone;
  CutTokenizer tokenizer;
  const auto whole = [&](const std::vector<std::string>& cut) {
    SequenceText text(&tokenizer, options);
    for (const std::string& token : cut) text.Append(tokenizer.IdOf(token));
    text.Finish();
    return std::pair(text.stop_string(), text.last_call_whole());
  };
  const std::string call = "<tool_call>{\"name\": \"f\", \"arguments\": 1}</tool_call>";
  const std::string damaged = "<tool_call>{\"name\": \"f\", \"arguments\": 1 oh ";
  EXPECT_EQ(whole({damaged, "STOP</tool_call>"}), std::pair(std::string("STOP"), false));
  EXPECT_EQ(whole({damaged, "STOP", "</tool_call>"}), std::pair(std::string("STOP"), false));
  EXPECT_EQ(whole({call + damaged, "STOP</tool_call>"}), std::pair(std::string("STOP"), false));
  EXPECT_EQ(whole({call, "STOP" + damaged}), std::pair(std::string("STOP"), true));
}

TEST(SequenceText, OutsideAChatTagsAreSpecialTokens) {
  EXPECT_EQ(TextOf("a</think>b", {}).content, "ab");
  EXPECT_EQ(TextOf("a</think>b", {.show_special = true}).content, "a</think>b");
}

TEST(SequenceText, AStopTokenIsShownOnRequest) {
  EXPECT_EQ(TextOf("ab", {}, 'c').content, "ab");
  EXPECT_EQ(TextOf("ab", {.show_special = true}, 'c').content, "ab");
  EXPECT_EQ(TextOf("ab", {.include_stop = true}, 'c').content, "abc");
  EXPECT_EQ(TextOf("ab", {.include_stop = true}, ByteTokenizer::kEos).content, "ab");
  EXPECT_EQ(TextOf("ab", {.show_special = true}, ByteTokenizer::kEos).content, "ab<｜end▁of▁sentence｜>");
}

TEST(SequenceText, EachTokenIsListedWhereItsTextIs) {
  const Outcome outcome = TextOf("a\n</think>\nbc<STOP", Chat({"<STOP"}));
  EXPECT_THAT(IdsIn(outcome, TokenPlace::kReasoning), ElementsAre('a'));
  EXPECT_THAT(IdsIn(outcome, TokenPlace::kContent), ElementsAre('b', 'c'));  // none of the stop string
  EXPECT_EQ(outcome.tokens.size(), 3u);
  const Outcome hidden = TextOf("a<｜end▁of▁sentence｜>b", {});
  EXPECT_THAT(IdsIn(hidden, TokenPlace::kContent), ElementsAre('a', 'b'));
  EXPECT_THAT(IdsIn(hidden, TokenPlace::kNoText), ElementsAre(ByteTokenizer::kEos));
}

}  // namespace
}  // namespace deeprack::coordinator
