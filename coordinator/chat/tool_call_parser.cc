#include "coordinator/chat/tool_call_parser.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace deeprack::coordinator {
namespace {

// "NAME\n```json\nARGUMENTS\n```"
std::optional<ToolCall> ParseCall(absl::string_view type, absl::string_view body) {
  const size_t line_end = body.find('\n');
  if (line_end == body.npos) return std::nullopt;
  ToolCall call;
  call.type = std::string(absl::StripAsciiWhitespace(type));
  if (call.type.empty()) call.type = "function";
  call.name = std::string(absl::StripAsciiWhitespace(body.substr(0, line_end)));
  absl::string_view arguments = absl::StripAsciiWhitespace(body.substr(line_end + 1));
  if (call.name.empty() || !absl::ConsumePrefix(&arguments, "```json")) return std::nullopt;
  absl::ConsumeSuffix(&arguments, "```");
  call.arguments = std::string(absl::StripAsciiWhitespace(arguments));
  return call;
}

}  // namespace

bool ToolCallParser::IsMarker(TokenId id) const {
  if (id == tokens_.tool_calls_begin) return true;
  return state_ != State::kContent && (id == tokens_.tool_calls_end || id == tokens_.tool_call_begin ||
                                       id == tokens_.tool_sep || id == tokens_.tool_call_end);
}

void ToolCallParser::OnMarker(TokenId id) {
  if (id == tokens_.tool_calls_begin) {
    state_ = State::kBetweenCalls;
  } else if (id == tokens_.tool_calls_end) {
    state_ = State::kContent;
  } else if (id == tokens_.tool_call_begin) {
    state_ = State::kType;
    type_.clear();
    body_.clear();
  } else if (id == tokens_.tool_sep) {
    state_ = State::kBody;
  } else if (id == tokens_.tool_call_end) {
    completed_ = ParseCall(type_, body_);
    state_ = State::kBetweenCalls;
  }
}

bool ToolCallParser::Consume(std::string_view text) {
  if (state_ == State::kContent) return false;
  if (state_ == State::kType) type_.append(text);
  if (state_ == State::kBody) body_.append(text);
  return true;
}

std::optional<ToolCall> ToolCallParser::TakeCall() { return std::exchange(completed_, std::nullopt); }

}  // namespace deeprack::coordinator
