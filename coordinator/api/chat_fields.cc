#include "coordinator/api/chat_fields.h"

#include <algorithm>
#include <iterator>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace deeprack::coordinator {

void SwitchThinking(Json& variables, bool on) {
  variables["thinking"] = on;         // DeepSeek's templates
  variables["enable_thinking"] = on;  // Qwen's templates
}

void ReadReasoningEffort(JsonFields& fields, std::string_view name, Json& variables) {
  const std::optional<std::string> effort = fields.String(name);
  if (!effort) return;
  constexpr const char* kEfforts[] = {"none", "minimal", "low", "medium", "high", "xhigh", "max"};
  if (std::find(std::begin(kEfforts), std::end(kEfforts), *effort) == std::end(kEfforts)) {
    return fields.Fail(InvalidValue(
        fields.Path(name), absl::StrCat(fields.Path(name), " is \"", *effort, "\"; it must be one of ",
                                        absl::StrJoin(kEfforts, ", "))));
  }
  variables["reasoning_effort"] = *effort;
  if (*effort == "none") SwitchThinking(variables, false);
}

}  // namespace deeprack::coordinator
