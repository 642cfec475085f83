#include "base/nearest_word.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace deeprack {
namespace {

// How many letters must be put in, taken out or changed to make `one` of `other`.
size_t LettersApart(const std::string& one, const std::string& other) {
  std::vector<size_t> row(other.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < one.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i + 1);
    for (size_t j = 0; j < other.size(); ++j) {
      const size_t changed = diagonal + (one[i] == other[j] ? 0 : 1);
      diagonal = std::exchange(row[j + 1], std::min({changed, row[j] + 1, row[j + 1] + 1}));
    }
  }
  return row.back();
}

}  // namespace

std::string NearestWord(const std::string& word, const std::vector<std::string>& words, size_t most) {
  std::string nearest;
  size_t least = most + 1;
  for (const std::string& one : words) {
    const size_t apart = LettersApart(word, one);
    if (apart >= least) continue;
    least = apart;
    nearest = one;
  }
  return nearest;
}

}  // namespace deeprack
