// Newer members of Unicode's general categories, so that \p{L} means the same to every tokenizer of the
// model.
#pragma once

#include <cstdint>
#include <span>

namespace deeprack::coordinator {

struct CodePointRange {
  uint32_t first = 0;
  uint32_t last = 0;  // inclusive
};

// What to add to PCRE2's \p{category}, category one of L, M, N, P, S; in ascending order. A library that
// already knows them gains nothing and loses nothing. Empty for any other letter.
std::span<const CodePointRange> CategoryAdditions(char category);

}  // namespace deeprack::coordinator
