#include "constraint/spec_check.h"

#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/status_macros.h"
#include "constraint/grammar_check.h"
#include "constraint/limits.h"
#include "constraint/regex_check.h"
#include "constraint/schema_branches.h"
#include "constraint/schema_check.h"
#include "constraint/tags_check.h"
#include "constraint/text_check.h"

namespace deeprack::constraint {
namespace {

using model::ConstraintKind;

// The choices of kChoice as a grammar.
absl::StatusOr<std::string> ChoicesGrammar(std::string_view text) {
  DR_RETURN_IF_ERROR(CheckText(text, "the list of choices"));
  const SchemaJson choices = SchemaJson::parse(text, nullptr, false);
  if (!choices.is_array() || choices.empty())
    return absl::InvalidArgumentError("the choices must be a list of strings");
  if (std::ssize(choices) > kMostValues) {
    return absl::InvalidArgumentError(
        absl::StrCat("there are ", choices.size(), " choices; the most is ", kMostValues));
  }
  if (std::ssize(text) > kMostValueBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("the choices have ", text.size(), " bytes; the most is ", kMostValueBytes));
  }
  std::string grammar = "root ::= ";
  for (size_t i = 0; i < choices.size(); ++i) {
    if (!choices[i].is_string())
      return absl::InvalidArgumentError(absl::StrCat("choice ", i, " is no string"));
    const std::string& choice = choices[i].get_ref<const std::string&>();
    if (choice.empty()) return absl::InvalidArgumentError(absl::StrCat("choice ", i, " is empty"));
    absl::StrAppend(
        &grammar, i > 0 ? " | " : "", "\"",
        absl::StrReplaceAll(choice,
                            {{"\\", "\\\\"}, {"\"", "\\\""}, {"\n", "\\n"}, {"\r", "\\r"}, {"\t", "\\t"}}),
        "\"");
  }
  return grammar;
}

}  // namespace

absl::StatusOr<std::string> CheckSpec(const model::ConstraintSpec& spec) {
  switch (spec.kind) {
    case ConstraintKind::kJsonObject:
      return CheckSchema(R"({"type": "object"})");
    case ConstraintKind::kJsonSchema:
      return CheckSchema(spec.text);
    case ConstraintKind::kRegex: {
      DR_ASSIGN_OR_RETURN(CheckedRegex checked, CheckRegex(spec.text, RegexPlace::kText));
      return std::move(checked.pattern);
    }
    case ConstraintKind::kChoice:
      return ChoicesGrammar(spec.text);
    case ConstraintKind::kGrammar:
      DR_RETURN_IF_ERROR(CheckGrammar(spec.text));
      return spec.text;
    case ConstraintKind::kTags:
      return CheckTags(spec.text);
  }
  return absl::InvalidArgumentError("unknown kind of constraint");
}

}  // namespace deeprack::constraint
