// Finds added tokens (<think>, <|im_start|>, ...) in text, as the Aho-Corasick automaton of the `tokenizers`
// package does: leftmost, and among those the longest, never overlapping.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/ids.h"

namespace deeprack::coordinator {

// A stretch of text: one added token, or (token < 0) ordinary text, never empty.
struct TextSpan {
  std::string_view text;
  TokenId token = -1;
};

// Immutable once filled; then safe to use from any thread. A search costs at most the length of the text
// times that of the longest token.
class AddedTokenMatcher {
 public:
  // A token that is `control` is text unless Split allows it. `content` is not empty and not in yet.
  void Add(std::string_view content, TokenId id, bool control);

  // Appends the spans of `text` in order. A control token that is not allowed stays within its ordinary text;
  // the search goes on behind it, so that what overlaps it is not found either.
  void Split(std::string_view text, bool allow_control, std::vector<TextSpan>* spans) const;

 private:
  struct Node {
    TokenId token = -1;  // the token that ends here
    bool control = false;
  };

  static uint64_t EdgeKey(uint32_t node, char byte) {
    return uint64_t{node} << 8 | static_cast<uint8_t>(byte);
  }

  // The longest token that starts at text[at]; its node, and its length in *length. nullptr when there is
  // none.
  const Node* LongestAt(std::string_view text, size_t at, size_t* length) const;

  std::vector<Node> nodes_{1};  // a trie; the root is 0
  absl::flat_hash_map<uint64_t, uint32_t> edges_;
  std::array<bool, 256> starts_{};  // bytes that some token starts with
};

}  // namespace deeprack::coordinator
