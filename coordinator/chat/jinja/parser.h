// Parses a template's text into its tree, with jinja2's grammar and the extensions that transformers turns
// on: {% break %}, {% continue %} and {% generation %}.
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "coordinator/chat/jinja/ast.h"

namespace deeprack::coordinator::jinja {

inline constexpr size_t kMaxTemplateBytes = size_t{1} << 20;
inline constexpr int kMaxNesting = 200;  // levels of expressions and of statements, each

// Errors: InvalidArgument, with line and reason, for a syntax error and for what this interpreter lacks:
// include, import, extends, block, call, recursive loops, and arguments by * or **; ResourceExhausted for a
// template that is too large or nested too deeply.
absl::StatusOr<Block> ParseTemplate(std::string_view source);

}  // namespace deeprack::coordinator::jinja
