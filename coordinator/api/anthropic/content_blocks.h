// Reads the content of a message of the Messages API: a string, or an array of blocks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "coordinator/api/json_fields.h"
#include "coordinator/chat/chat_prompt.h"

namespace deeprack::coordinator::anthropic {

struct ToolResult {
  std::string tool_use_id;
  std::string content;
};

// The blocks of one message by kind, each kind in the order of the message.
struct MessageContent {
  std::vector<std::string> thoughts;
  std::vector<std::string> texts;
  std::vector<ToolCall> calls;
  std::vector<ToolResult> results;
};

// Who may write which blocks: a system text has text blocks; a user's message has text and tool_result; an
// assistant's has text, thinking, redacted_thinking and tool_use.
enum class Speaker : uint8_t { kSystem, kUser, kAssistant };

// Reads the field `name` of `fields`. Errors go to `fields`; an absent field is an error.
MessageContent ReadContent(JsonFields& fields, const char* name, Speaker speaker);

}  // namespace deeprack::coordinator::anthropic
