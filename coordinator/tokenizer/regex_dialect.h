// Translates the regular expressions of tokenizer.json for PCRE2.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace deeprack::coordinator {

// A pattern of the same meaning for PCRE2 in UTF and UCP modes. The dialects differ in the characters of \s
// and in the version of their Unicode tables; the result hides these differences. Errors: InvalidArgument,
// with the offset, for a construct that only one dialect has or that the dialects read differently.
absl::StatusOr<std::string> ToPcre2(std::string_view regex);

}  // namespace deeprack::coordinator
