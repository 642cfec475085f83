#include "coordinator/chat/reply_parser.h"

namespace deeprack::coordinator {

ReplyParser::ReplyParser(const ReplyFormat& format, ReasoningStart start, bool read_calls, bool one_call)
    : reasoning_(format, start) {
  if (read_calls && format.tool_calls != ToolCallForm::kNone) calls_.emplace(format, one_call);
}

bool ReplyParser::IsMarker(TokenId id) const {
  if (reasoning_.IsTag(id)) return true;
  if (!calls_) return false;
  return reasoning_.in_reasoning() ? calls_->BeginsCalls(id) : calls_->IsMarker(id);
}

void ReplyParser::OnMarker(TokenId id, std::string_view text, ReplyPieces& out) {
  if (reasoning_.IsTag(id)) return reasoning_.OnTag(id, text, out);
  reasoning_.EndReasoning(out);
  calls_->OnMarker(id, text, out);
}

void ReplyParser::OnText(std::string_view text, ReplyPieces& out) {
  const std::string_view content = reasoning_.OnText(text, out);
  if (calls_) {
    calls_->OnText(content, out);
  } else {
    out.Add(ReplyPlace::kContent, content);
  }
}

void ReplyParser::Finish(ReplyPieces& out) {
  reasoning_.EndReasoning(out);
  if (calls_) calls_->Finish(out);
}

}  // namespace deeprack::coordinator
