// Finds added tokens (<think>, <|im_start|>, ...) in text, as the `tokenizers` package: the leftmost match,
// among matches that begin at the same byte the longest, and no overlaps.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/ids.h"

namespace deeprack::coordinator {

// A part of a text: one added token, or (token < 0) ordinary text. Never empty.
struct TextSpan {
  std::string_view text;
  TokenId token = -1;
};

// Thread-safe after the last Add. A search takes time proportional, at most, to the length of the text times
// the length of the longest token.
class AddedTokenMatcher {
 public:
  // `control`: the token is ordinary text unless Split allows control tokens. `content` is not empty and was
  // not added before.
  void Add(std::string_view content, TokenId id, bool control);

  // Appends the spans of `text` in order. A control token that is not allowed stays ordinary text. The search
  // goes on behind that token, so tokens that overlap it are not found.
  void Split(std::string_view text, bool allow_control, std::vector<TextSpan>* spans) const;

 private:
  struct Node {
    TokenId token = -1;  // the token that ends here
    bool control = false;
  };

  static uint64_t EdgeKey(uint32_t node, char byte) {
    return uint64_t{node} << 8 | static_cast<uint8_t>(byte);
  }

  // The node of the longest token that starts at text[at], with the token's length in *length. nullptr: no
  // token starts there.
  const Node* LongestAt(std::string_view text, size_t at, size_t* length) const;

  std::vector<Node> nodes_{1};  // a trie; the root is 0
  absl::flat_hash_map<uint64_t, uint32_t> edges_;
  std::array<bool, 256> starts_{};  // by byte: true if a token starts with the byte
};

}  // namespace deeprack::coordinator
