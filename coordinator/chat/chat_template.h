// DeepSeek R1's chat template, rendered natively: messages in, token ids out. It follows the chat_template of
// R1's tokenizer_config.json turn by turn, with one difference that is deliberate: control tokens are placed
// by id, and what people wrote is encoded as plain text, so that a special token typed in a message never
// becomes one.
//
//   <bos>system<｜User｜>question<｜Assistant｜>answer<eos><｜User｜>question<｜Assistant｜><think>\n
//
// As there: system messages are gathered in front; a past answer loses everything up to its last </think>;
// after tool outputs no generation prompt is written (the model goes on right behind <｜tool▁outputs▁end｜>);
// and the marker that opens a list of calls or outputs is written once per conversation.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ids.h"
#include "coordinator/tokenizer/tokenizer.h"

namespace deeprack::coordinator {

enum class ChatRole : uint8_t { kSystem, kUser, kAssistant, kTool };

struct ToolCall {
  std::string id;  // not rendered
  std::string type = "function";
  std::string name;
  std::string arguments;  // JSON text, as the model wrote it
};

struct ChatMessage {
  ChatRole role = ChatRole::kUser;
  std::optional<std::string> content;  // null only in an assistant message with tool calls
  std::vector<ToolCall> tool_calls;    // assistant only
  bool prefix = false;                 // the last message, an assistant's: the answer goes on from here
};

struct RenderedChat {
  std::vector<TokenId> ids;
  bool in_reasoning = false;  // <think> is open at the end: the model's first tokens are reasoning
};

// Ids of the control tokens. Those that R1's own vocabulary has but the distills' may lack are optional.
struct ChatTokens {
  TokenId bos = 0;
  TokenId eos = 0;
  TokenId user = 0;
  TokenId assistant = 0;
  std::optional<TokenId> think_begin, think_end;
  std::optional<TokenId> tool_calls_begin, tool_calls_end, tool_call_begin, tool_call_end, tool_sep;
  std::optional<TokenId> tool_outputs_begin, tool_outputs_end, tool_output_begin, tool_output_end;
};

class ChatTemplate {
 public:
  // Looks the control tokens up by their text. FailedPrecondition naming the one that a chat cannot do
  // without. `tokenizer` outlives the template.
  static absl::StatusOr<ChatTemplate> Create(const Tokenizer* tokenizer);

  // `tools` holds one JSON text per tool; R1's template has no place for them, so they are described at the
  // end of the system text. InvalidArgument when the messages cannot be rendered: it says which message and
  // why.
  absl::StatusOr<RenderedChat> Render(std::span<const ChatMessage> messages,
                                      std::span<const std::string> tools, bool add_generation_prompt) const;

  const ChatTokens& tokens() const { return tokens_; }

 private:
  explicit ChatTemplate(const Tokenizer* tokenizer) : tokenizer_(tokenizer) {}

  const Tokenizer* tokenizer_;
  ChatTokens tokens_;
};

}  // namespace deeprack::coordinator
