// Reads a tokenizer.json strictly: a part of the file that deeprack does not support is an error.
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "coordinator/tokenizer/tokenizer_spec.h"

namespace deeprack::coordinator {

// Reads the text of a tokenizer.json. Errors: InvalidArgument, with the place in the file ("model.merges[7]:
// ...").
absl::StatusOr<TokenizerSpec> ParseTokenizerJson(std::string_view text);

}  // namespace deeprack::coordinator
