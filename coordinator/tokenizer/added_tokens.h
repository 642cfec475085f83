// Finds added tokens (<think>, <|im_start|>, ...) in text, as the `tokenizers` package: the leftmost match,
// among matches that begin at the same byte the longest, and no overlaps.
#pragma once

#include <array>
#include <cstdint>
#include <span>
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

// Bytes [begin, end) of a text.
struct ByteRange {
  size_t begin = 0, end = 0;
};

// Thread-safe after the last Add. A search takes time proportional, at most, to the length of the text times
// the length of the longest token.
class AddedTokenMatcher {
 public:
  // `control`: the token is ordinary text except where Split allows control tokens. `content` is not empty and was
  // not added before.
  void Add(std::string_view content, TokenId id, bool control);

  // Appends the spans of `text` in order. A control token is found if its bytes lie in one of the `control`
  // ranges, which are in order and do not meet. Elsewhere the control token stays ordinary text. Another
  // token that overlaps this text is found only if the other token begins in the next range.
  void Split(std::string_view text, std::span<const ByteRange> control, std::vector<TextSpan>* spans) const;

  bool has_control() const { return has_control_; }  // a control token was added

 private:
  struct Node {
    TokenId token = -1;  // the token that ends here
    bool control = false;
  };

  static uint64_t EdgeKey(uint32_t node, char byte) {
    return uint64_t{node} << 8 | static_cast<uint8_t>(byte);
  }

  struct Match {
    TokenId token = -1;  // -1: a control token that is not allowed
    size_t length = 0;   // 0: no token
  };

  // The longest token that starts at text[at]. Of control tokens only those are allowed that end at
  // `control_end` or before; `at` stands outside the ranges if control_end == at, and then a longer control
  // token hides the others.
  Match LongestAt(std::string_view text, size_t at, size_t control_end) const;

  std::vector<Node> nodes_{1};  // a trie; the root is 0
  absl::flat_hash_map<uint64_t, uint32_t> edges_;
  std::array<bool, 256> starts_{};  // by byte: true if a token starts with the byte
  bool has_control_ = false;
};

}  // namespace deeprack::coordinator
