// Cuts a template into text and the tokens of its tags, as jinja2 with trim_blocks and lstrip_blocks:
// the line break after a {% tag %} and the white space before the tag on its line vanish.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace deeprack::coordinator::jinja {

enum class TokenKind : uint8_t {
  kText,           // between tags
  kVariableBegin,  // {{
  kVariableEnd,
  kBlockBegin,  // {%
  kBlockEnd,
  kName,
  kString,  // `text` is the literal's value
  kInteger,
  kFloat,
  kOperator,
  kEnd
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  int line = 1;
  std::string text;

  bool Is(TokenKind other, std::string_view other_text) const { return kind == other && text == other_text; }
  bool IsName(std::string_view name) const { return Is(TokenKind::kName, name); }
  bool IsOperator(std::string_view sign) const { return Is(TokenKind::kOperator, sign); }
};

// The tokens of `source`, kEnd last. Errors: InvalidArgument, with the line.
absl::StatusOr<std::vector<Token>> Tokenize(std::string_view source);

}  // namespace deeprack::coordinator::jinja
