// Checks a structural tag: its size, and the JSON schemas in it.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace deeprack::constraint {

// The tag with each `json_schema` as CheckSchema returns it. Errors: InvalidArgument, of CheckSchema, with
// the schema's place in the tag.
absl::StatusOr<std::string> CheckTags(std::string_view tags);

}  // namespace deeprack::constraint
