#include "coordinator/api/stop_strings.h"

#include <algorithm>
#include <utility>

namespace deeprack::coordinator {
namespace {

// The length of the longest proper prefix of `stop` that `text` ends with.
size_t PartialMatch(std::string_view text, std::string_view stop) {
  for (size_t n = std::min(text.size(), stop.size() - 1); n > 0; --n) {
    if (text.substr(text.size() - n) == stop.substr(0, n)) return n;
  }
  return 0;
}

}  // namespace

std::string StopStrings::Append(std::string_view text) {
  if (matched()) return "";
  held_.append(text);
  // The earliest match. Of the matches that begin there, the shortest.
  size_t first = held_.npos;
  for (size_t i = 0; i < strings_.size(); ++i) {
    const size_t at = held_.find(strings_[i]);
    if (at < first || (at == first && matched_ && strings_[i].size() < strings_[*matched_].size())) {
      first = at;
      matched_ = i;
    }
  }
  if (matched_) {
    held_.resize(include_ ? first + strings_[*matched_].size() : first);
    return std::exchange(held_, "");
  }
  size_t keep = 0;
  for (const std::string& stop : strings_) keep = std::max(keep, PartialMatch(held_, stop));
  std::string out = held_.substr(0, held_.size() - keep);
  held_.erase(0, out.size());
  return out;
}

std::string StopStrings::Flush() { return std::exchange(held_, ""); }

}  // namespace deeprack::coordinator
