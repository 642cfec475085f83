// What a tokenizer.json says, read strictly: either it is all here, or the file is refused by name.
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "coordinator/tokenizer/tokenizer_spec.h"

namespace deeprack::coordinator {

// Reads the text of a tokenizer.json. Errors say where in the file: "model.merges[7]: ...". InvalidArgument.
absl::StatusOr<TokenizerSpec> ParseTokenizerJson(std::string_view text);

}  // namespace deeprack::coordinator
