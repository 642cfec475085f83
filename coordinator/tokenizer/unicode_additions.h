// Members of Unicode's general categories that PCRE2 may be too old to know. With these, \p{L} means the same
// here and in the `tokenizers` package.
#pragma once

#include <cstdint>
#include <span>

namespace deeprack::coordinator {

struct CodePointRange {
  uint32_t first = 0;
  uint32_t last = 0;  // inclusive
};

// The ranges to add to PCRE2's \p{category}, in ascending order. `category` is L, M, N, P or S; for any other
// letter the result is empty. The ranges change nothing for a PCRE2 that knows them already.
std::span<const CodePointRange> CategoryAdditions(char category);

}  // namespace deeprack::coordinator
