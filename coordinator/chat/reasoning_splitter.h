// Splits a reply into reasoning and the text after the reasoning: everything up to </think> is reasoning.
//
// The tags are found by token id, so "</think>" in the letters of other tokens is text. These line breaks
// belong to the tags, as R1's form writes them, and are not shown: one after a <think> of the reply, one
// before </think>, and up to two after </think>. All other text is kept.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "coordinator/chat/reply_format.h"
#include "coordinator/chat/reply_piece.h"

namespace deeprack::coordinator {

class ReasoningSplitter {
 public:
  ReasoningSplitter(const ReplyFormat& format, ReasoningStart start);

  // True if the next token is a tag. <think> is a tag only as the first token of a reply. </think> is a tag
  // only in reasoning, so only the first one counts.
  bool IsTag(TokenId id) const {
    return (in_reasoning_ && id == think_end_) || (at_start_ && think_end_ && id == think_begin_);
  }

  // Takes a tag and the tag's text.
  void OnTag(TokenId id, std::string_view text, ReplyPieces& out);

  // Takes text between tags. Reasoning goes to `out`; a line break at its end waits for the next text.
  // Returns the text that is not reasoning.
  std::string_view OnText(std::string_view text, ReplyPieces& out);

  // Ends the reasoning without a tag: a tool call begins, or the reply has ended.
  void EndReasoning(ReplyPieces& out);

  bool in_reasoning() const { return in_reasoning_; }

 private:
  // Gives out the line breaks at the start of `text` that belong to the last tag. Returns the rest.
  std::string_view SkipBreaks(std::string_view text, ReplyPieces& out);

  std::optional<TokenId> think_begin_, think_end_;
  bool in_reasoning_;
  bool at_start_ = true;      // no token has come
  int breaks_after_tag_ = 0;  // line breaks that still belong to the last tag
  bool held_break_ = false;   // a line break at the end of the reasoning waits
};

}  // namespace deeprack::coordinator
