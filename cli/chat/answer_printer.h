// Writes an answer to the terminal while the server streams it: first the reasoning, dimmed, then the answer.
#pragma once

#include <cstdio>

#include "absl/strings/string_view.h"
#include "cli/http/chat_stream.h"
#include "cli/terminal/terminal.h"

namespace deeprack::cli {

class AnswerPrinter {
 public:
  AnswerPrinter(Style style, std::FILE* out) : style_(style), out_(out) {}

  // The callbacks that write. They use this printer.
  ChatListener listener();
  // Ends the last line.
  void Finish();

 private:
  void Reasoning(absl::string_view text);
  void Content(absl::string_view text);
  void Write(absl::string_view text);

  const Style style_;
  std::FILE* const out_;
  bool in_reasoning_ = false;
  bool in_content_ = false;
  bool at_line_start_ = true;
};

}  // namespace deeprack::cli
