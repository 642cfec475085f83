// The word that a person meant. Pure.
#pragma once

#include <string>
#include <vector>

namespace deeprack::cli {

// The word of `words` that differs least from `word`: by at most a third of its letters, or by two. "" when
// none is that near; of equally near words the first.
std::string NearestWord(const std::string& word, const std::vector<std::string>& words);

}  // namespace deeprack::cli
