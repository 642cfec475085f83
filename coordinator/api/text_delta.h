// The text that one event adds to an answer, by the place where the client sees the text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "model/step/step_result.h"

namespace deeprack::coordinator {

// The text that tokens add to the tool calls of an answer.
struct ToolCallDelta {
  int32_t call = 0;       // the call's number in the answer: 0, 1, ...
  std::string name;       // not empty in the first delta of a call, and only there
  std::string arguments;  // the next part of the arguments' JSON text
};

enum class TokenPlace : uint8_t {
  kReasoning,
  kContent,
  kToolCall,  // name and arguments, and the markers and the JSON around them
  kNoText,    // a token without text, such as an end token
};

// A generated token that has text in one place, or no text.
struct PlacedToken {
  TokenPlace place = TokenPlace::kContent;
  std::string text;  // the token's bytes that are shown in this place; perhaps a part of a UTF-8 character
  model::PositionLogprobs logprobs;
};

// The client sees reasoning before content before tool calls: text in another order comes in further deltas.
struct TextDelta {
  std::string reasoning;
  std::string content;
  std::vector<ToolCallDelta> tool_calls;
  // With log-probabilities: the tokens of this delta's text, in order. The texts of the tokens in kContent,
  // joined, are `content`; the texts of the tokens in kReasoning, joined, are `reasoning`. (Bytes that are
  // not UTF-8 are U+FFFD in the joined text.)
  std::vector<PlacedToken> tokens;

  bool empty() const { return reasoning.empty() && content.empty() && tool_calls.empty(); }
};

}  // namespace deeprack::coordinator
