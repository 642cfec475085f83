// Fuzzes the checks of constraints: a request's schemas, regular expressions, choices, grammars and tags are
// any text. A check ends with what the compiler is given, or with a reason.
//
// Input: a byte that chooses the kind, the text.
#include <cstdint>
#include <string>

#include "base/check.h"
#include "constraint/regex_check.h"
#include "constraint/spec_check.h"
#include "nlohmann/json.hpp"

namespace {

using namespace deeprack;
using model::ConstraintKind;

void CheckReason(const absl::Status& status) {
  DR_CHECK(status.ok() || (absl::IsInvalidArgument(status) && !status.message().empty()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  constexpr ConstraintKind kKinds[] = {ConstraintKind::kJsonSchema, ConstraintKind::kRegex,
                                       ConstraintKind::kChoice, ConstraintKind::kGrammar,
                                       ConstraintKind::kTags};
  const size_t choice = data[0] % 6;
  if (choice == 5) {
    CheckReason(constraint::CheckRegex(text, constraint::RegexPlace::kJsonString).status());
    return 0;
  }
  const absl::StatusOr<std::string> checked = constraint::CheckSpec({kKinds[choice], text});
  CheckReason(checked.status());
  const bool is_json =
      kKinds[choice] == ConstraintKind::kJsonSchema || kKinds[choice] == ConstraintKind::kTags;
  DR_CHECK(!checked.ok() || !is_json || nlohmann::json::accept(*checked));
  return 0;
}
