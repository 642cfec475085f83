// How a model writes its replies: the tokens around reasoning and the form of tool calls. The format belongs
// to the chat template, because a model was trained on replies in the form that its template renders.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/ids.h"
#include "coordinator/tokenizer/tokenizer.h"

namespace deeprack::coordinator {

enum class ToolCallForm : uint8_t {
  kNone,  // the template or the vocabulary has no tool calls
  // <｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>NAME\n```json\n{...}\n```<｜tool▁call▁end｜>
  // ...<｜tool▁calls▁end｜>
  kDeepSeekR1,
  // <｜tool▁calls▁begin｜><｜tool▁call▁begin｜>NAME<｜tool▁sep｜>{...}<｜tool▁call▁end｜>...<｜tool▁calls▁end｜>
  kDeepSeekV31,
  // <tool_call>\n{"name": NAME, "arguments": {...}}\n</tool_call>, once for each call. The tokens are
  // tool_call_begin and tool_call_end.
  kHermes,
};

// How a reply begins, as the end of its prompt says.
enum class ReasoningStart : uint8_t {
  kNone,           // the reply is content: the prompt closed the reasoning, or the model does not reason
  kOpenByPrompt,   // the prompt ends inside <think>: all text up to </think> is reasoning
  kMayOpen,        // the model may write <think> as the first token of its reply
  kUntilThinkEnd,  // no <think> stands in the prompt, yet all text up to </think> is reasoning
};

struct ReplyFormat {
  // Absent: the vocabulary lacks one of the two, and replies have no reasoning.
  std::optional<TokenId> think_begin, think_end;

  ToolCallForm tool_calls = ToolCallForm::kNone;
  // The markers of the form. A marker is absent if ToolCallForm shows the form without this marker.
  std::optional<TokenId> tool_calls_begin, tool_calls_end, tool_call_begin, tool_call_end, tool_sep;
};

// The format of replies to prompts that `chat_template` (Jinja text) renders. A form of tool calls is found
// if the template writes the form's markers and the vocabulary has each marker as one token.
ReplyFormat FindReplyFormat(std::string_view chat_template, const Tokenizer& tokenizer);

}  // namespace deeprack::coordinator
