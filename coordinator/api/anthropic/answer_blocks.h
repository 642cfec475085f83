// Cuts the text of an answer into the content blocks of a message: thinking, text and tool_use. The blocks
// come in the order in which the model wrote them. Their texts, joined, are all that the model wrote.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "coordinator/api/sequence_text.h"

namespace deeprack::coordinator::anthropic {

enum class BlockKind : uint8_t { kThinking, kText, kToolUse };

struct BlockEvent {
  enum class Type : uint8_t { kStart, kDelta, kStop };

  Type type = Type::kStart;
  int32_t index = 0;  // the block's place in the message
  BlockKind kind = BlockKind::kText;
  std::string text;  // kStart of kToolUse: the tool's name. kDelta: the next part; of kToolUse, of its JSON
};

class AnswerBlocks {
 public:
  // Takes what one token added. A block starts with its first text, and stops before the next one starts.
  std::vector<BlockEvent> Add(const TextDelta& delta);

  // The answer has ended: stops the last block.
  std::vector<BlockEvent> Finish();

 private:
  void Append(BlockKind kind, const std::string& text, std::vector<BlockEvent>& events);
  void Start(BlockKind kind, const std::string& name, std::vector<BlockEvent>& events);
  void Stop(std::vector<BlockEvent>& events);

  int32_t started_ = 0;  // blocks
  bool open_ = false;    // the last block
  BlockKind kind_ = BlockKind::kText;
  int32_t call_ = -1;  // the number of the tool call whose block was the last to start
};

}  // namespace deeprack::coordinator::anthropic
