// The demo's questions, and which answers are right. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace deeprack::cli {

struct Question {
  std::string question;
  std::string answer;
};

// [{"question": "...", "answer": "..."}, ...], not empty. InvalidArgument otherwise.
absl::StatusOr<std::vector<Question>> ParseQuestions(absl::string_view json);

// True when the text contains the expected answer as a whole word or number, in any case of letters. "57" is
// not a whole number in "157", "5.7" or "1,57".
bool StatesAnswer(absl::string_view text, absl::string_view expected);

}  // namespace deeprack::cli
