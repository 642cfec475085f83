// Checks a regular expression before it is compiled: what is not supported is named, and an expression whose
// repetitions grow beyond bounds is refused.
//
// Supported: literals, ".", classes, groups, "|", "*", "+", "?", "{n}", "{n,}", "{n,m}", "^" at the beginning
// and "$" at the end, \d \w \s \D \W \S \n \r \t \f \v \xHH \uHHHH, and a backslash before punctuation. The
// whole answer matches the expression. "." matches no line feed, as in Python and JavaScript.
//
// "(?:a+b?)+" is refused: a text can be cut into its repetitions in very many ways, all of which a matcher
// follows. "(?:a+,)+" is not.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace deeprack::constraint {

// Where the matched text stands.
enum class RegexPlace : uint8_t {
  kText,        // the text is the answer
  kJsonString,  // between the quotes of a JSON string: no character that JSON must escape is matched
};

struct CheckedRegex {
  std::string pattern;  // in the form that the compiler is given
  int64_t weight = 0;   // constraint/limits.h
};

// Errors: InvalidArgument, with the offset in bytes.
absl::StatusOr<CheckedRegex> CheckRegex(std::string_view pattern, RegexPlace place);

}  // namespace deeprack::constraint
