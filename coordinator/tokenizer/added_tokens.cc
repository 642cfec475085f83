#include "coordinator/tokenizer/added_tokens.h"

#include <algorithm>

#include "base/check.h"

namespace deeprack::coordinator {

void AddedTokenMatcher::Add(std::string_view content, TokenId id, bool control) {
  DR_CHECK(!content.empty());
  starts_[static_cast<uint8_t>(content[0])] = true;
  uint32_t node = 0;
  for (char byte : content) {
    const auto [edge, is_new] = edges_.try_emplace(EdgeKey(node, byte), static_cast<uint32_t>(nodes_.size()));
    if (is_new) nodes_.emplace_back();
    node = edge->second;
  }
  DR_CHECK(nodes_[node].token < 0);
  nodes_[node] = {id, control};
  has_control_ |= control;
}

AddedTokenMatcher::Match AddedTokenMatcher::LongestAt(std::string_view text, size_t at,
                                                      size_t control_end) const {
  const bool in_range = control_end > at;
  Match longest;
  uint32_t node = 0;
  for (size_t end = at; end < text.size();) {
    const auto edge = edges_.find(EdgeKey(node, text[end]));
    if (edge == edges_.end()) break;
    node = edge->second;
    ++end;
    if (nodes_[node].token < 0) continue;
    const bool allowed = !nodes_[node].control || end <= control_end;
    if (allowed || !in_range || longest.length == 0) {
      longest = {allowed ? nodes_[node].token : -1, end - at};
    }
  }
  return longest;
}

void AddedTokenMatcher::Split(std::string_view text, std::span<const ByteRange> control,
                              std::vector<TextSpan>* spans) const {
  size_t done = 0;  // *spans covers text[0, done)
  auto range = control.begin();
  for (size_t at = 0; at < text.size();) {
    if (!starts_[static_cast<uint8_t>(text[at])]) {
      ++at;
      continue;
    }
    while (range != control.end() && range->end <= at) ++range;
    const bool in_range = range != control.end() && range->begin <= at;
    const Match match = LongestAt(text, at, in_range ? range->end : at);
    if (match.length == 0) {
      ++at;
    } else if (match.token >= 0) {
      if (at > done) spans->push_back({text.substr(done, at - done)});
      spans->push_back({text.substr(at, match.length), match.token});
      at = done = at + match.length;
    } else if (in_range) {
      ++at;  // the token leaves the range; another may lie in the range
    } else {
      at = std::min(at + match.length, range != control.end() ? range->begin : text.size());
    }
  }
  if (done < text.size()) spans->push_back({text.substr(done)});
}

}  // namespace deeprack::coordinator
