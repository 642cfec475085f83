#include "constraint/tags_check.h"

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "constraint/limits.h"
#include "constraint/schema_branches.h"
#include "constraint/schema_check.h"
#include "constraint/text_check.h"

namespace deeprack::constraint {
namespace {

// `weight`: of the schemas before.
absl::Status CheckSchemas(SchemaJson& value, const std::string& place, int64_t& weight) {
  if (value.is_array()) {
    for (size_t i = 0; i < value.size(); ++i) {
      DR_RETURN_IF_ERROR(CheckSchemas(value[i], absl::StrCat(place, "[", i, "]"), weight));
    }
  }
  if (!value.is_object()) return absl::OkStatus();
  for (auto& [name, member] : value.items()) {
    const std::string inner = place.empty() ? name : absl::StrCat(place, ".", name);
    if (name != "json_schema") {
      DR_RETURN_IF_ERROR(CheckSchemas(member, inner, weight));
      continue;
    }
    absl::StatusOr<std::string> checked = CheckSchema(member.dump(), weight);
    if (!checked.ok())
      return absl::InvalidArgumentError(absl::StrCat(inner, ": ", checked.status().message()));
    member = SchemaJson::parse(*checked);
  }
  if (value.contains("json_schema")) value["max_whitespace_cnt"] = kMostWhitespace;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> CheckTags(std::string_view tags) {
  DR_RETURN_IF_ERROR(CheckText(tags, "the structural tag"));
  SchemaJson parsed = SchemaJson::parse(tags, nullptr, false);
  if (parsed.is_discarded()) return absl::InvalidArgumentError("the structural tag is not valid JSON");
  int64_t weight = 0;
  DR_RETURN_IF_ERROR(CheckSchemas(parsed, "", weight));
  return parsed.dump();
}

}  // namespace deeprack::constraint
