// Reply formats for tests, with the tokens of ByteTokenizer.
#pragma once

#include "coordinator/chat/reply_format.h"
#include "tests/unit/chat/byte_tokenizer.h"

namespace deeprack::coordinator {

// The format of `form`. The Hermes form has its markers as text.
inline ReplyFormat FormatOf(ToolCallForm form) {
  const ByteTokenizer tokenizer;
  ReplyFormat format{
      .think_begin = ByteTokenizer::kThinkBegin, .think_end = ByteTokenizer::kThinkEnd, .tool_calls = form};
  if (form == ToolCallForm::kNone || form == ToolCallForm::kHermes) return format;
  format.tool_calls_begin = tokenizer.TokenToId("<｜tool▁calls▁begin｜>");
  format.tool_calls_end = tokenizer.TokenToId("<｜tool▁calls▁end｜>");
  format.tool_call_begin = tokenizer.TokenToId("<｜tool▁call▁begin｜>");
  format.tool_call_end = tokenizer.TokenToId("<｜tool▁call▁end｜>");
  format.tool_sep = tokenizer.TokenToId("<｜tool▁sep｜>");
  return format;
}

}  // namespace deeprack::coordinator
