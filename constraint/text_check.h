// Checks of texts before a parser with recursion reads them.
#pragma once

#include <string_view>

#include "absl/status/status.h"

namespace deeprack::constraint {

// Checks the size of JSON, and how deep its brackets stand. Errors: InvalidArgument; the message names
// `what`.
absl::Status CheckText(std::string_view json, std::string_view what);

}  // namespace deeprack::constraint
