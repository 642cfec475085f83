// One event of a streamed answer, and the message of an answer that is an error. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace deeprack::cli {

struct AnswerEvent {
  bool is_json = false;     // an object
  bool is_error = false;    // the server reports an error within the stream
  std::string error_code;   // "" without a code
  std::string message;      // of the error
  bool has_choice = false;  // "choices" is not empty
  bool has_text = false;    // text, reasoning or a part of a tool call
  std::string content;      // the text without the reasoning
  int64_t prompt_tokens = -1, cached_tokens = -1, output_tokens = -1;  // the event's usage; -1: not stated
};

// Reads an event of /v1/chat/completions or /v1/completions.
AnswerEvent ReadAnswerEvent(absl::string_view json);

// Reads the body of an answer that is not 200: `error_code` and `message`, or the body's beginning as the
// message.
AnswerEvent ReadErrorBody(absl::string_view body);

}  // namespace deeprack::cli
