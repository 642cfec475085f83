// Recognises R1's tool calls in the content of an answer, by token id:
//
//   <｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>NAME\n```json\n{...}\n```<｜tool▁call▁end｜>...<｜tool▁calls▁end｜>
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "coordinator/chat/chat_template.h"

namespace deeprack::coordinator {

class ToolCallParser {
 public:
  explicit ToolCallParser(const ChatTokens& tokens) : tokens_(tokens) {}

  // Whether the next token is one of the markers; it then has no text of its own.
  bool IsMarker(TokenId id) const;

  // To be told of each marker, after the text before it has been offered to Consume.
  void OnMarker(TokenId id);

  // Takes text that belongs to a list of calls; false when the text is ordinary content.
  bool Consume(std::string_view text);

  // The call that the last marker completed, once. A call that does not have R1's form (no name, or no fenced
  // arguments) is dropped.
  std::optional<ToolCall> TakeCall();

 private:
  enum class State : uint8_t { kContent, kBetweenCalls, kType, kBody };

  ChatTokens tokens_;
  State state_ = State::kContent;
  std::string type_, body_;
  std::optional<ToolCall> completed_;
};

}  // namespace deeprack::coordinator
