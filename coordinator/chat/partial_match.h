// Searches for a text in another, and for its beginning at the end of what has come so far.
#pragma once

#include <algorithm>
#include <string_view>

namespace deeprack::coordinator {

inline bool Contains(std::string_view text, std::string_view part) { return text.find(part) != text.npos; }

// The length of the longest end of `text` that is a beginning of `wanted`, but not all of it. `wanted` is not
// empty.
inline size_t PartialMatch(std::string_view text, std::string_view wanted) {
  for (size_t n = std::min(text.size(), wanted.size() - 1); n > 0; --n) {
    if (text.substr(text.size() - n) == wanted.substr(0, n)) return n;
  }
  return 0;
}

}  // namespace deeprack::coordinator
