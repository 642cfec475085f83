#include "coordinator/api/stop_strings.h"

#include <algorithm>
#include <utility>

#include "coordinator/chat/partial_match.h"

namespace deeprack::coordinator {

std::string StopStrings::Append(std::string_view text) {
  if (matched()) return "";
  held_.append(text);
  // The match that ends first. Of the matches that end there, the longest. So the match does not depend on
  // the pieces.
  size_t first = held_.npos, end = held_.npos;
  for (size_t i = 0; i < strings_.size(); ++i) {
    const size_t at = held_.find(strings_[i]);
    if (at == held_.npos) continue;
    const size_t this_end = at + strings_[i].size();
    if (this_end > end || (this_end == end && at >= first)) continue;
    first = at;
    end = this_end;
    matched_ = i;
  }
  if (matched_) {
    held_.resize(include_ ? end : first);
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
