#include "coordinator/tokenizer/added_tokens.h"

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
}

const AddedTokenMatcher::Node* AddedTokenMatcher::LongestAt(std::string_view text, size_t at,
                                                            size_t* length) const {
  const Node* longest = nullptr;
  uint32_t node = 0;
  for (size_t end = at; end < text.size();) {
    const auto edge = edges_.find(EdgeKey(node, text[end]));
    if (edge == edges_.end()) break;
    node = edge->second;
    ++end;
    if (nodes_[node].token >= 0) {
      longest = &nodes_[node];
      *length = end - at;
    }
  }
  return longest;
}

void AddedTokenMatcher::Split(std::string_view text, bool allow_control, std::vector<TextSpan>* spans) const {
  size_t done = 0;  // *spans covers text[0, done)
  for (size_t at = 0; at < text.size();) {
    size_t length = 0;
    const Node* match = starts_[static_cast<uint8_t>(text[at])] ? LongestAt(text, at, &length) : nullptr;
    if (match == nullptr) {
      ++at;
      continue;
    }
    if (allow_control || !match->control) {
      if (at > done) spans->push_back({text.substr(done, at - done)});
      spans->push_back({text.substr(at, length), match->token});
      done = at + length;
    }
    at += length;
  }
  if (done < text.size()) spans->push_back({text.substr(done)});
}

}  // namespace deeprack::coordinator
