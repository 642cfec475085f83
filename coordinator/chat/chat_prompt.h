// A conversation as the client sent it: the input of a chat template.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace deeprack::coordinator {

enum class ChatRole : uint8_t { kSystem, kUser, kAssistant, kTool };

struct ToolCall {
  std::string id;
  std::string type = "function";
  std::string name;
  std::string arguments;  // JSON text, as the model wrote it
};

struct ChatMessage {
  ChatRole role = ChatRole::kUser;
  std::optional<std::string> content;    // absent only in an assistant message with tool calls
  std::optional<std::string> reasoning;  // of assistant messages: the thought before the content
  std::optional<std::string> name;       // of the speaker, or of a tool message's function
  std::string tool_call_id;              // of tool messages: the call that this message answers
  std::vector<ToolCall> tool_calls;      // of assistant messages
  bool prefix = false;                   // true for a last message, an assistant's, that the answer continues
};

struct ChatPrompt {
  std::vector<ChatMessage> messages;
  std::vector<std::string> tools;     // each a JSON text: the tool's `function` object
  bool add_generation_prompt = true;  // the prompt ends where the assistant's answer begins
  // The answer continues the last message, which is an assistant's and has `prefix`.
  bool continue_final_message = false;
  std::string template_kwargs =
      "{}";  // JSON object: further variables of the template, such as {"thinking": true}
};

}  // namespace deeprack::coordinator
