// DeepSeek R1's chat template in C++: messages in, token ids out. The result is that of the chat_template in
// R1's tokenizer_config.json, with one deliberate difference: control tokens are placed by id, and the texts
// of messages are encoded as plain text. So a special token that a user types stays text.
//
//   <bos>system<｜User｜>question<｜Assistant｜>answer<eos><｜User｜>question<｜Assistant｜><think>\n
//
// As in R1's chat_template:
// - System messages come first, joined.
// - Past answers lose all text up to their last </think>.
// - No generation prompt follows tool outputs: the model goes on after <｜tool▁outputs▁end｜>.
// - The marker that opens a list of calls or outputs is written once in a conversation.
#pragma once

#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ids.h"
#include "coordinator/chat/chat_prompt.h"
#include "coordinator/chat/reply_format.h"
#include "coordinator/tokenizer/tokenizer.h"

namespace deeprack::coordinator {

struct RenderedChat {
  std::vector<TokenId> ids;
  bool in_reasoning = false;  // <think> is open at the end, so the answer begins with reasoning
  ReasoningStart reasoning = ReasoningStart::kNone;  // how the reply begins
};

// Ids of the control tokens. Optional are those of R1's vocabulary that a distill's vocabulary may lack.
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
  // Finds the control tokens by their text. `tokenizer` outlives the template. Errors: FailedPrecondition,
  // with the name, if a token that every chat needs is missing.
  static absl::StatusOr<ChatTemplate> Create(const Tokenizer* tokenizer);

  // R1's template has no place for tools, so the system text ends with their descriptions. Errors:
  // InvalidArgument, with the message's index and the reason, if the messages cannot be rendered; those of
  // Tokenizer::Encode.
  absl::StatusOr<RenderedChat> Render(const ChatPrompt& prompt) const;

  const ChatTokens& tokens() const { return tokens_; }
  const ReplyFormat& reply_format() const { return reply_format_; }

 private:
  explicit ChatTemplate(const Tokenizer* tokenizer) : tokenizer_(tokenizer) {}

  const Tokenizer* tokenizer_;
  ChatTokens tokens_;
  ReplyFormat reply_format_;
};

}  // namespace deeprack::coordinator
