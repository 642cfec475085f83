#include "coordinator/api/anthropic/answer_blocks.h"

namespace deeprack::coordinator::anthropic {

std::vector<BlockEvent> AnswerBlocks::Add(const TextDelta& delta) {
  std::vector<BlockEvent> events;
  // The rest of a call that is open comes before text: the model wrote the text after the call.
  size_t first = 0;
  for (; first < delta.tool_calls.size(); ++first) {
    const ToolCallDelta& call = delta.tool_calls[first];
    if (!open_ || kind_ != BlockKind::kToolUse || call.call != call_ || !call.name.empty()) break;
    Append(BlockKind::kToolUse, call.arguments, events);
  }
  Append(BlockKind::kThinking, delta.reasoning, events);
  Append(BlockKind::kText, delta.content, events);
  for (size_t i = first; i < delta.tool_calls.size(); ++i) {
    const ToolCallDelta& call = delta.tool_calls[i];
    if (!call.name.empty()) {
      Start(BlockKind::kToolUse, call.name, events);
      call_ = call.call;
    }
    // Arguments that come after their block has stopped stay visible as text.
    const bool in_block = open_ && kind_ == BlockKind::kToolUse && call.call == call_;
    Append(in_block ? BlockKind::kToolUse : BlockKind::kText, call.arguments, events);
  }
  return events;
}

std::vector<BlockEvent> AnswerBlocks::Finish() {
  std::vector<BlockEvent> events;
  Stop(events);
  return events;
}

void AnswerBlocks::Append(BlockKind kind, const std::string& text, std::vector<BlockEvent>& events) {
  if (text.empty()) return;
  if (!open_ || kind_ != kind) Start(kind, "", events);
  events.push_back({.type = BlockEvent::Type::kDelta, .index = started_ - 1, .kind = kind, .text = text});
}

void AnswerBlocks::Start(BlockKind kind, const std::string& name, std::vector<BlockEvent>& events) {
  Stop(events);
  open_ = true;
  kind_ = kind;
  events.push_back({.type = BlockEvent::Type::kStart, .index = started_++, .kind = kind, .text = name});
}

void AnswerBlocks::Stop(std::vector<BlockEvent>& events) {
  if (!open_) return;
  open_ = false;
  events.push_back({.type = BlockEvent::Type::kStop, .index = started_ - 1, .kind = kind_});
}

}  // namespace deeprack::coordinator::anthropic
