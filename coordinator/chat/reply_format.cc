#include "coordinator/chat/reply_format.h"

#include "coordinator/chat/partial_match.h"

namespace deeprack::coordinator {
namespace {

// R1's call names its type before the separator, and its arguments stand in a fenced block.
bool WritesFencedArguments(std::string_view chat_template) { return Contains(chat_template, "```json"); }

bool FindDeepSeekMarkers(const Tokenizer& tokenizer, ReplyFormat& format) {
  format.tool_calls_begin = tokenizer.TokenToId("<｜tool▁calls▁begin｜>");
  format.tool_calls_end = tokenizer.TokenToId("<｜tool▁calls▁end｜>");
  format.tool_call_begin = tokenizer.TokenToId("<｜tool▁call▁begin｜>");
  format.tool_call_end = tokenizer.TokenToId("<｜tool▁call▁end｜>");
  format.tool_sep = tokenizer.TokenToId("<｜tool▁sep｜>");
  return format.tool_calls_begin && format.tool_calls_end && format.tool_call_begin && format.tool_call_end &&
         format.tool_sep;
}

bool FindHermesMarkers(const Tokenizer& tokenizer, ReplyFormat& format) {
  format.tool_call_begin = tokenizer.TokenToId("<tool_call>");
  format.tool_call_end = tokenizer.TokenToId("</tool_call>");
  return format.tool_call_begin && format.tool_call_end;
}

}  // namespace

ReplyFormat FindReplyFormat(std::string_view chat_template, const Tokenizer& tokenizer) {
  ReplyFormat format;
  if (Contains(chat_template, "<｜tool▁calls▁begin｜>")) {
    if (FindDeepSeekMarkers(tokenizer, format)) {
      format.tool_calls =
          WritesFencedArguments(chat_template) ? ToolCallForm::kDeepSeekR1 : ToolCallForm::kDeepSeekV31;
    }
  } else if (Contains(chat_template, "<tool_call>")) {
    if (FindHermesMarkers(tokenizer, format)) format.tool_calls = ToolCallForm::kHermes;
  }
  if (format.tool_calls == ToolCallForm::kNone) format = {};
  format.think_begin = tokenizer.TokenToId("<think>");
  format.think_end = tokenizer.TokenToId("</think>");
  if (!format.think_begin || !format.think_end) format.think_begin = format.think_end = std::nullopt;
  return format;
}

}  // namespace deeprack::coordinator
