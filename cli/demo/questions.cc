#include "cli/demo/questions.h"

#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace deeprack::cli {
namespace {

bool IsWord(char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)); }
bool JoinsDigits(char c) { return c == '.' || c == ','; }

// Whether the text around [begin, end) does not go on as the same word or number.
bool StandsAlone(absl::string_view text, size_t begin, size_t end) {
  const auto at = [&](size_t i) { return i < text.size() ? text[i] : ' '; };
  const char before = begin > 0 ? text[begin - 1] : ' ', before_that = begin > 1 ? text[begin - 2] : ' ';
  if (IsWord(before) || IsWord(at(end))) return false;
  const auto digit = [](char c) { return absl::ascii_isdigit(static_cast<unsigned char>(c)); };
  if (digit(text[begin]) && (before == '-' || (JoinsDigits(before) && digit(before_that)))) return false;
  return !(digit(text[end - 1]) && JoinsDigits(at(end)) && digit(at(end + 1)));
}

}  // namespace

absl::StatusOr<std::vector<Question>> ParseQuestions(absl::string_view text) {
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_array() || json.empty())
    return absl::InvalidArgumentError("expected a list of questions with answers");
  std::vector<Question> questions;
  for (const auto& entry : json) {
    if (!entry.is_object() || !entry.contains("question") || !entry["question"].is_string() ||
        !entry.contains("answer") || !entry["answer"].is_string() ||
        entry["answer"].get<std::string>().empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "entry ", questions.size(), ": expected {\"question\": \"...\", \"answer\": \"...\"}"));
    }
    questions.push_back({entry["question"].get<std::string>(), entry["answer"].get<std::string>()});
  }
  return questions;
}

bool StatesAnswer(absl::string_view text, absl::string_view expected) {
  if (expected.empty()) return false;
  const std::string where = absl::AsciiStrToLower(text), what = absl::AsciiStrToLower(expected);
  for (size_t begin = where.find(what); begin != std::string::npos; begin = where.find(what, begin + 1)) {
    if (StandsAlone(where, begin, begin + what.size())) return true;
  }
  return false;
}

}  // namespace deeprack::cli
