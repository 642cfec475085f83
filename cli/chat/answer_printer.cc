#include "cli/chat/answer_printer.h"

#include <utility>

namespace deeprack::cli {

ChatListener AnswerPrinter::listener() {
  return {.on_reasoning = [this](absl::string_view text) { Reasoning(text); },
          .on_content = [this](absl::string_view text) { Content(text); }};
}

void AnswerPrinter::Reasoning(absl::string_view text) {
  if (!std::exchange(in_reasoning_, true)) Write(style_.dim());
  Write(text);
}

void AnswerPrinter::Content(absl::string_view text) {
  if (std::exchange(in_reasoning_, false)) {
    Write(style_.reset());
    if (!at_line_start_) Write("\n");
  }
  if (!std::exchange(in_content_, true)) {  // the template leaves blank lines between thoughts and answer
    const size_t first = text.find_first_not_of("\r\n");
    if (first == absl::string_view::npos) {
      in_content_ = false;
      return;
    }
    text.remove_prefix(first);
  }
  Write(text);
}

void AnswerPrinter::Finish() {
  if (std::exchange(in_reasoning_, false)) Write(style_.reset());
  if (!at_line_start_) Write("\n");
  in_content_ = false;
}

void AnswerPrinter::Write(absl::string_view text) {
  if (text.empty()) return;
  std::fwrite(text.data(), 1, text.size(), out_);
  std::fflush(out_);
  if (text[0] != '\x1b') at_line_start_ = text.back() == '\n';
}

}  // namespace deeprack::cli
