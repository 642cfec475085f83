// Turns one sequence's tokens into the text that its client sees. Each token passes, in this order, through
// detokenizing, stop strings, the split into reasoning and content, and tool calls. Text that a later token
// may change is held back. Belongs to the connection's executor.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "coordinator/api/stop_strings.h"
#include "coordinator/chat/chat_template.h"
#include "coordinator/chat/reasoning_splitter.h"
#include "coordinator/chat/tool_call_parser.h"
#include "coordinator/tokenizer/tokenizer.h"

namespace deeprack::coordinator {

struct TextOptions {
  std::vector<std::string> stop;
  bool include_stop = false;       // the stop string stays in the text
  int32_t min_tokens = 0;          // stop strings are looked for in the text after so many tokens
  bool show_special = false;       // special tokens are part of the text
  std::optional<ChatTokens> chat;  // present: the answer to a chat, with reasoning
  bool in_reasoning = false;       // the prompt ends inside <think>
  bool parse_tool_calls = false;
};

// The text that a token adds.
struct TextDelta {
  std::string reasoning;
  std::string content;
  std::vector<ToolCallDelta> tool_calls;

  bool empty() const { return reasoning.empty() && content.empty() && tool_calls.empty(); }
};

class SequenceText {
 public:
  // `tokenizer` outlives this.
  SequenceText(const Tokenizer* tokenizer, const TextOptions& options);

  TextDelta Append(TokenId id);

  // The sequence has ended: gives the text that was held back.
  TextDelta Finish();

  bool stopped() const { return stop_.matched(); }  // a stop string has come
  std::string stop_string() const { return stop_.match(); }
  bool in_reasoning() const { return splitter_.in_reasoning(); }
  bool called_tools() const { return calls_ > 0; }

 private:
  void Drain(TextDelta& delta);
  void Give(std::string_view text, TextDelta& delta);

  IncrementalDetokenizer detokenizer_;
  StopStrings stop_;
  ReasoningSplitter splitter_;
  std::optional<ToolCallParser> tools_;
  int32_t calls_ = 0;
  int32_t unstoppable_tokens_;  // the next so many tokens are before min_tokens
};

}  // namespace deeprack::coordinator
