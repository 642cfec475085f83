// The demo's questions and what counts as a right answer. Pure.
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

// Whether the text states the expected answer: it contains it, not as a part of a longer word or number ("57"
// is not in "157", "5.7" or "1,57"), regardless of case.
bool StatesAnswer(absl::string_view text, absl::string_view expected);

}  // namespace deeprack::cli
