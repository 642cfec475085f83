// Cuts a reply into pieces: reasoning, content, tool calls, and the tags and markers around them. Text whose
// meaning a later token decides is held back.
//
// Reasoning ends at </think>. Where tool calls are read, a marker of DeepSeek's forms that begins calls ends
// the reasoning, too. The Hermes form's marker is text in reasoning.
#pragma once

#include <optional>
#include <string_view>

#include "coordinator/chat/reasoning_splitter.h"
#include "coordinator/chat/reply_format.h"
#include "coordinator/chat/reply_piece.h"
#include "coordinator/chat/tool_call_parser.h"

namespace deeprack::coordinator {

class ReplyParser {
 public:
  // `read_calls`: look for tool calls, if the format has any. `one_call`: the reply ends with its first call.
  ReplyParser(const ReplyFormat& format, ReasoningStart start, bool read_calls, bool one_call = false);

  // True if the next token is a tag or a marker, after the text that OnText has been given. Ask again after
  // OnText: text may turn the token into plain text.
  bool IsMarker(TokenId id) const;

  // Takes a token for which IsMarker is true, and its text.
  void OnMarker(TokenId id, std::string_view text, ReplyPieces& out);

  // Takes the text of one or more tokens that are neither.
  void OnText(std::string_view text, ReplyPieces& out);

  // The reply has ended: gives out the text that was held back.
  void Finish(ReplyPieces& out);

  // True after the first call of a parser that was made for one call. Text that follows is not shown.
  bool ended() const { return calls_ && calls_->ended(); }

 private:
  ReasoningSplitter reasoning_;
  std::optional<ToolCallParser> calls_;
};

}  // namespace deeprack::coordinator
