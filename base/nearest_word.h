// The word that a person meant. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace deeprack {

// The word of `words` that differs from `word` by the fewest letters, and by `most` letters at most. A letter
// that is put in, taken out or changed counts as one. "" when no word is that near. Of equally near words the
// first.
std::string NearestWord(const std::string& word, const std::vector<std::string>& words, size_t most);

}  // namespace deeprack
