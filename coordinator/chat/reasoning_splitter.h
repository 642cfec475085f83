// Splits the tokens of an R1 answer into reasoning and content: everything up to </think> is reasoning.
//
// The boundary is found by token id, so a "</think>" in the letters of other tokens is text. Line breaks
// right after <think>, right before </think> and at the start of the content are dropped, in streams as in
// whole answers.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"

namespace deeprack::coordinator {

class ReasoningSplitter {
 public:
  // `in_reasoning`: the prompt ends inside <think>. Without a think_end token, all text is content.
  ReasoningSplitter(std::optional<TokenId> think_begin, std::optional<TokenId> think_end, bool in_reasoning)
      : think_begin_(think_begin),
        think_end_(think_end),
        in_reasoning_(in_reasoning && think_end.has_value()),
        skip_newlines_(in_reasoning_) {}

  // True if the next token is a tag that opens or closes the reasoning. A tag has no text. <think> opens
  // reasoning only as the first token of an answer.
  bool IsTag(TokenId id) const {
    return (in_reasoning_ && id == think_end_) || (at_start_ && think_end_ && id == think_begin_);
  }

  // Takes each token, in order. Call Filter for the text before the token first.
  void OnToken(TokenId id);

  // The part of `text` that is certain. `text` belongs to the state after the last OnToken. Line breaks at
  // the end of reasoning are held back until more reasoning follows.
  std::string Filter(std::string_view text);

  bool in_reasoning() const { return in_reasoning_; }

 private:
  std::optional<TokenId> think_begin_, think_end_;
  bool in_reasoning_;
  bool at_start_ = true;      // no token has come
  bool skip_newlines_;        // no text was given out since the last tag
  size_t held_newlines_ = 0;  // line breaks held back at the end of the reasoning
};

}  // namespace deeprack::coordinator
