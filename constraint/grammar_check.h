// Checks a grammar in EBNF before it is compiled: its size, how deep its groups stand, how large its
// repetitions grow, and that it names no tokens of the model.
//
// The form is that of llama.cpp's GBNF and of vLLM: `root ::= "a" [0-9]+ (item | "b"){2,3} # a comment`.
#pragma once

#include <string_view>

#include "absl/status/status.h"

namespace deeprack::constraint {

// Errors: InvalidArgument, with the offset in bytes.
absl::Status CheckGrammar(std::string_view grammar);

}  // namespace deeprack::constraint
