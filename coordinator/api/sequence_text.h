// Turns one sequence's tokens into the text that its client sees. Each token passes, in this order, through
// detokenizing, the split into reasoning, content and tool calls, and stop strings. Text that a later token
// may change is held back. Each byte of a token's text is shown in one place, except tags, markers, the text
// that the reply's format writes around tags and markers, and the text from a stop on. Belongs to the
// connection's executor.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "coordinator/api/delta_writer.h"
#include "coordinator/api/stop_strings.h"
#include "coordinator/api/text_delta.h"
#include "coordinator/chat/reply_format.h"
#include "coordinator/chat/reply_parser.h"
#include "coordinator/tokenizer/tokenizer.h"

namespace deeprack::coordinator {

struct TextOptions {
  // Looked for in the content. A stop string that is the text of a tag or marker stops at the tag or marker.
  std::vector<std::string> stop;
  bool stop_in_reasoning = false;  // looked for in the reasoning, too
  bool include_stop = false;       // the stop string, or the text of the stop token, stays in the text
  int32_t min_tokens = 0;          // the text of the first min_tokens tokens is not searched for stop strings
  bool show_special = false;       // special tokens are part of the text
  std::optional<ReplyFormat> format;  // present: the reply to a chat. Absent: all text is content
  ReasoningStart reasoning = ReasoningStart::kNone;
  bool parse_tool_calls = false;
  bool one_tool_call = false;  // the text ends with its first tool call
};

class SequenceText {
 public:
  // `tokenizer` outlives this.
  SequenceText(const Tokenizer* tokenizer, const TextOptions& options);

  // Takes the next token. With `logprobs`, deltas have entries for the tokens of their text. Once stopped(),
  // tokens are dropped.
  void Append(TokenId id, std::optional<model::PositionLogprobs> logprobs = {});

  // Takes the token at which the engine ended the sequence: an end token, or a stop token of the request.
  // The token's text is shown with include_stop. The text of a special token is shown with
  // show_special.
  void AppendStopToken(TokenId id, std::optional<model::PositionLogprobs> logprobs = {});

  // The sequence has ended: the text that was held back is certain.
  void Finish();

  // The text that has become certain since the last call: no delta, one, or several.
  std::vector<TextDelta> Take() { return writer_.Take(); }

  // A stop string has come, or the one tool call has ended.
  bool stopped() const { return !stopped_by_.empty() || parser_.ended(); }
  const std::string& stop_string() const { return stopped_by_; }  // empty: none has come

  // True if the answer has a tool call, and the last one is whole. Text behind a stop string does not count.
  bool last_call_whole() const { return last_call_whole_; }

  // The number of tokens that have text in the reasoning.
  int64_t reasoning_tokens() const { return writer_.reasoning_tokens(); }

 private:
  void TakeText(std::string_view text);
  void Place(const ReplyPieces& pieces);
  void PlaceSearched(const ReplyPiece& piece);
  void PlaceMarker(const ReplyPiece& piece);
  void PlaceHeld();

  const Tokenizer* tokenizer_;
  const TextOptions options_;
  IncrementalDetokenizer detokenizer_;
  ReplyParser parser_;
  StopStrings stop_;
  ReplyPlace searched_ = ReplyPlace::kContent;  // the place of the text that stop_ holds back
  DeltaWriter writer_;
  int64_t tokens_ = 0;    // appended
  bool may_stop_ = true;  // min_tokens have come
  bool last_call_whole_ = false;
  std::string think_end_;   // the tag's text
  std::string stopped_by_;  // the stop string that has come
};

}  // namespace deeprack::coordinator
