#include "constraint/tags_check.h"

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "constraint/schema_branches.h"
#include "constraint/schema_check.h"
#include "constraint/text_check.h"

namespace deeprack::constraint {
namespace {

absl::Status CheckSchemas(SchemaJson& value, const std::string& place) {
  if (value.is_array()) {
    for (size_t i = 0; i < value.size(); ++i) {
      DR_RETURN_IF_ERROR(CheckSchemas(value[i], absl::StrCat(place, "[", i, "]")));
    }
  }
  if (!value.is_object()) return absl::OkStatus();
  for (auto& [name, member] : value.items()) {
    const std::string inner = place.empty() ? name : absl::StrCat(place, ".", name);
    if (name != "json_schema") {
      DR_RETURN_IF_ERROR(CheckSchemas(member, inner));
      continue;
    }
    absl::StatusOr<std::string> checked = CheckSchema(member.dump());
    if (!checked.ok())
      return absl::InvalidArgumentError(absl::StrCat(inner, ": ", checked.status().message()));
    member = SchemaJson::parse(*checked);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> CheckTags(std::string_view tags) {
  DR_RETURN_IF_ERROR(CheckText(tags, "the structural tag"));
  SchemaJson parsed = SchemaJson::parse(tags, nullptr, false);
  if (parsed.is_discarded()) return absl::InvalidArgumentError("the structural tag is not valid JSON");
  DR_RETURN_IF_ERROR(CheckSchemas(parsed, ""));
  return parsed.dump();
}

}  // namespace deeprack::constraint
