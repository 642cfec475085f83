// From one sequence's tokens to the text that its client sees: detokenizing, stop strings, reasoning, tool
// calls. One order, token by token; what is not certain yet is held back. Lives on the connection's executor.
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
  bool include_stop = false;       // a stop string found stays in the text
  bool show_special = false;       // special tokens as text
  std::optional<ChatTokens> chat;  // set: the answer of a chat, with reasoning
  bool in_reasoning = false;       // the prompt left <think> open
  bool parse_tool_calls = false;
};

// Text that became certain.
struct TextDelta {
  std::string reasoning;
  std::string content;
  std::vector<ToolCall> tool_calls;

  bool empty() const { return reasoning.empty() && content.empty() && tool_calls.empty(); }
};

class SequenceText {
 public:
  // `tokenizer` outlives this.
  SequenceText(const Tokenizer* tokenizer, const TextOptions& options);

  TextDelta Append(TokenId id);

  // What was held back, at the sequence's end.
  TextDelta Finish();

  bool stopped() const { return stop_.matched(); }  // a stop string was found
  bool in_reasoning() const { return splitter_.in_reasoning(); }
  bool called_tools() const { return called_tools_; }

 private:
  void Drain(TextDelta& delta);
  void Give(std::string_view text, TextDelta& delta);

  IncrementalDetokenizer detokenizer_;
  StopStrings stop_;
  ReasoningSplitter splitter_;
  std::optional<ToolCallParser> tools_;
  bool called_tools_ = false;
};

}  // namespace deeprack::coordinator
