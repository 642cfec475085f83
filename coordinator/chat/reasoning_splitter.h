// Splits the tokens of an R1 answer into reasoning and content: everything up to </think> is reasoning.
//
// The boundary is found by token id, so a "</think>" that the model spells out in letters ends nothing. Line
// breaks around the tags are layout, not text: those right after <think>, those right before </think> and
// those at the start of the content are dropped, in streams as in whole answers.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"

namespace deeprack::coordinator {

class ReasoningSplitter {
 public:
  // `in_reasoning`: the prompt left <think> open. A tokenizer without think tokens never leaves its first
  // state.
  ReasoningSplitter(std::optional<TokenId> think_begin, std::optional<TokenId> think_end, bool in_reasoning)
      : think_begin_(think_begin),
        think_end_(think_end),
        in_reasoning_(in_reasoning && think_end.has_value()),
        skip_newlines_(in_reasoning_) {}

  // Whether the next token is a tag that opens or closes the reasoning; it then has no text of its own.
  // <think> opens only at the very start of an answer.
  bool IsTag(TokenId id) const {
    return (in_reasoning_ && id == think_end_) || (at_start_ && think_end_ && id == think_begin_);
  }

  // Each token passes here, in order, after the text before it has passed Filter.
  void OnToken(TokenId id);

  // What of `text`, which belongs to the state reached by the last token, may be given out now. Line breaks
  // at the end of reasoning are held back until it is known that reasoning goes on.
  std::string Filter(std::string_view text);

  bool in_reasoning() const { return in_reasoning_; }

 private:
  std::optional<TokenId> think_begin_, think_end_;
  bool in_reasoning_;
  bool at_start_ = true;      // no token yet
  bool skip_newlines_;        // no text given out since the last tag
  size_t held_newlines_ = 0;  // of the reasoning's end
};

}  // namespace deeprack::coordinator
