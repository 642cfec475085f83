#include "cli/chat/answer_printer.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace deeprack::cli {
namespace {

// Returns the printer's output for an answer in these pieces.
std::string Print(Style style, const std::vector<std::string>& reasoning,
                  const std::vector<std::string>& content) {
  char* text = nullptr;
  size_t size = 0;
  std::FILE* out = open_memstream(&text, &size);
  {
    AnswerPrinter printer(style, out);
    const ChatListener listener = printer.listener();
    for (const auto& piece : reasoning) listener.on_reasoning(piece);
    for (const auto& piece : content) listener.on_content(piece);
    printer.Finish();
  }
  std::fclose(out);
  std::string result(text, size);
  std::free(text);
  return result;
}

TEST(AnswerPrinter, DimsTheReasoning) {
  EXPECT_EQ(Print({.colours = true}, {"think", "ing"}, {"\n\n", "ans", "wer"}),
            "\x1b[2mthinking\x1b[0m\nanswer\n");
}

TEST(AnswerPrinter, IsPlainWithoutColours) {
  EXPECT_EQ(Print({}, {"thinking\n"}, {"answer\n"}), "thinking\nanswer\n");
  EXPECT_EQ(Print({}, {}, {"a", "\n", "b"}), "a\nb\n");
  EXPECT_EQ(Print({}, {"cut off"}, {}), "cut off\n");
  EXPECT_EQ(Print({}, {}, {}), "");
}

}  // namespace
}  // namespace deeprack::cli
