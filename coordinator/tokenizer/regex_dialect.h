// From the regular expressions of tokenizer.json to PCRE2's.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace deeprack::coordinator {

// The same pattern for PCRE2 (UTF and UCP modes). The dialects differ in what \s holds, in the age of their
// Unicode tables, and in constructs that one has or reads otherwise: those are refused with their offset
// (InvalidArgument).
absl::StatusOr<std::string> ToPcre2(std::string_view regex);

}  // namespace deeprack::coordinator
