// Fuzzes the parser of replies: a model writes any text, and its tokens cut the text anywhere. Every byte of
// the reply is in one piece, the answer does not depend on the cut, and log-probabilities join to the shown
// text.
//
// Input: a byte that chooses the form and the options, the sizes of tokens as letters, a line break, the
// text.
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "tests/unit/api/reply_generator.h"

namespace {

using namespace deeprack;
using namespace deeprack::coordinator;

struct FuzzedReply {
  TextOptions options;
  std::string_view sizes;  // of the tokens between control tokens, in turn: 'a' is 1 byte, 'b' 2 bytes, ...
  std::string_view text;
};

FuzzedReply ReadInput(std::string_view data) {
  constexpr ToolCallForm kForms[] = {ToolCallForm::kNone, ToolCallForm::kDeepSeekR1,
                                     ToolCallForm::kDeepSeekV31, ToolCallForm::kHermes};
  constexpr ReasoningStart kStarts[] = {ReasoningStart::kNone, ReasoningStart::kOpenByPrompt,
                                        ReasoningStart::kMayOpen, ReasoningStart::kUntilThinkEnd};
  const auto choice = static_cast<unsigned char>(data.front());
  data.remove_prefix(1);
  FuzzedReply reply;
  reply.options = {.format = FormatOf(kForms[choice & 3]),
                   .reasoning = kStarts[(choice >> 2) & 3],
                   .parse_tool_calls = (choice & 16) == 0};
  if ((choice & 32) != 0) reply.options.stop = {"STOP", "\n\n", "</think>"};
  reply.options.include_stop = reply.options.stop_in_reasoning = (choice & 64) != 0;
  reply.options.one_tool_call = (choice & 128) != 0;
  const size_t line = std::min(data.find('\n'), data.size());
  reply.sizes = data.substr(0, line);
  reply.text = data.substr(std::min(line + 1, data.size()));
  return reply;
}

// The tokens of a text with control tokens.
std::vector<TokenId> Cut(std::string_view text, std::string_view sizes, CutTokenizer& tokenizer) {
  size_t turn = 0;
  return CutReply(text, tokenizer, [&]() -> size_t {
    return sizes.empty() ? 1 : 1 + static_cast<unsigned char>(sizes[turn++ % sizes.size()] - 'a') % 32;
  });
}

// The texts of all pieces are the text of the reply.
void CheckPieces(const FuzzedReply& reply, const std::vector<TokenId>& ids, const CutTokenizer& tokenizer) {
  ReplyParser parser(*reply.options.format, reply.options.reasoning, reply.options.parse_tool_calls);
  IncrementalDetokenizer detokenizer(&tokenizer);
  ReplyPieces pieces;
  std::string shown;  // control tokens that are no markers have no text
  for (const TokenId id : ids) {
    if (parser.IsMarker(id)) {
      const std::string held = detokenizer.Finish();
      parser.OnText(held, pieces);
      shown += held;
    }
    if (parser.IsMarker(id)) {
      const std::string_view marker = tokenizer.TokenBytes(id, /*show_special=*/true);
      parser.OnMarker(id, marker, pieces);
      shown += marker;
    } else {
      const std::string text = detokenizer.Append(id);
      parser.OnText(text, pieces);
      shown += text;
    }
  }
  const std::string held = detokenizer.Finish();
  parser.OnText(held, pieces);
  parser.Finish(pieces);
  DR_CHECK(pieces.TakeText() == shown + held);
}

JoinedParts Joined(const std::vector<std::vector<TextDelta>>& deltas) {
  JoinedParts joined;
  for (const std::vector<TextDelta>& step : deltas) {
    for (const TextDelta& delta : step) joined.Add(delta);
  }
  DR_CHECK(joined.order.find('?') == joined.order.npos);  // each argument's text belongs to the last call
  return joined;
}

void CheckLogprobs(const TextDelta& delta) {
  std::string reasoning, content, reasoning_text, content_text;
  for (const PlacedToken& token : delta.tokens) {
    if (token.place == TokenPlace::kReasoning) reasoning += token.text;
    if (token.place == TokenPlace::kContent) content += token.text;
  }
  AppendUtf8Lossy(reasoning, &reasoning_text);
  AppendUtf8Lossy(content, &content_text);
  DR_CHECK(reasoning_text == delta.reasoning && content_text == delta.content);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const FuzzedReply reply = ReadInput({reinterpret_cast<const char*>(data), size});
  CutTokenizer tokenizer;
  const std::vector<TokenId> ids = Cut(reply.text, reply.sizes, tokenizer);
  const std::vector<TokenId> bytes = Cut(reply.text, "", tokenizer);
  CheckPieces(reply, ids, tokenizer);

  SequenceText text(&tokenizer, reply.options), by_bytes(&tokenizer, reply.options);
  const auto deltas = DeltasOf(text, ids, /*logprobs=*/true);
  DR_CHECK(Joined(deltas) == Joined(DeltasOf(by_bytes, bytes)));
  DR_CHECK(text.stopped() == by_bytes.stopped() && text.stop_string() == by_bytes.stop_string());
  DR_CHECK(text.last_call_whole() == by_bytes.last_call_whole());
  DR_CHECK(!reply.options.one_tool_call || Joined(deltas).calls.size() <= 1);
  for (const std::vector<TextDelta>& step : deltas) {
    for (const TextDelta& delta : step) CheckLogprobs(delta);
  }
  return 0;
}
