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

void ReadToolChoice(JsonFields& fields, std::vector<std::string>& tools) {
  const Json* choice = fields.Any("tool_choice");
  if (choice == nullptr || *choice == "auto") return;
  if (*choice == "none") return tools.clear();
  fields.Fail(Unsupported("tool_choice", absl::StrCat("tool_choice ", choice->dump(),
                                                      " is not supported: use \"auto\" or \"none\"")));
}

void ReadTextFormat(JsonFields& fields, std::string_view name, const RequestObject& kind) {
  const Json* format = fields.Object(name);
  if (format == nullptr) return;
  const std::string path = fields.Path(name);
  JsonFields inner(*format, kind, path + ".", fields);
  const std::string type = inner.String("type").value_or("");
  if (type != "text") {
    inner.Fail(Unsupported(path + ".type",
                           absl::StrCat(path, ".type \"", type, "\" is not supported: only \"text\" is")));
  }
  inner.RefuseOthers();
}

}  // namespace deeprack::coordinator
