// Recognises R1's tool calls in the content of an answer, by token id:
//
//   <｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>NAME\n```json\n{...}\n```<｜tool▁call▁end｜>...<｜tool▁calls▁end｜>
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "coordinator/chat/chat_template.h"

namespace deeprack::coordinator {

// The text that tokens add to the tool calls of an answer.
struct ToolCallDelta {
  int32_t call = 0;       // the call's number in the answer: 0, 1, ...
  std::string name;       // not empty in the first delta of a call, and only there
  std::string arguments;  // the next part of the arguments' JSON text
};

class ToolCallParser {
 public:
  explicit ToolCallParser(const ChatTokens& tokens) : tokens_(tokens) {}

  // True if the next token is a marker. A marker has no text.
  bool IsMarker(TokenId id) const;

  // Takes each marker. Offer the text before the marker to Consume first.
  void OnMarker(TokenId id);

  // Takes text that belongs to a list of calls. False: the text is content.
  bool Consume(std::string_view text);

  // The call that the last marker completed; given out once. A call without a name or without fenced
  // arguments is dropped.
  std::optional<ToolCall> TakeCall();

 private:
  enum class State : uint8_t { kContent, kBetweenCalls, kType, kBody };

  ChatTokens tokens_;
  State state_ = State::kContent;
  std::string type_, body_;
  std::optional<ToolCall> completed_;
};

}  // namespace deeprack::coordinator
