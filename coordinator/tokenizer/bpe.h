// Byte-pair encoding of one word. A word is a piece of text as the pre-tokenizer cuts it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/ids.h"

namespace deeprack::coordinator {

// Thread-safe after the last change.
class BytePairEncoder {
 public:
  // Memory that Encode uses again for each word. Each thread needs a workspace of its own.
  class Workspace {
    friend class BytePairEncoder;
    struct Symbol {
      TokenId token = -1;  // -1: merged into the symbol before it
      int32_t previous = -1;
      int32_t next = -1;
    };
    struct Candidate {
      int32_t rank = 0;
      int32_t at = 0;  // the left symbol
      TokenId merged = -1;
    };
    std::vector<Symbol> symbols_;
    std::vector<Candidate> heap_;
  };

  // Sets the token of each single byte. Bytes that never occur in UTF-8 may have -1, no token.
  void SetByteTokens(const std::array<TokenId, 256>& tokens) { byte_tokens_ = tokens; }

  // Adds the merge of rank `rank`; rank 0 is applied first. False: the pair has a merge already.
  bool AddMerge(TokenId left, TokenId right, TokenId merged, int32_t rank);

  // A word that equals `bytes` becomes `token`, without merges ("ignore_merges" of Llama 3).
  void PreferWholeWord(std::string bytes, TokenId token) { whole_words_.emplace(std::move(bytes), token); }

  // Appends the tokens of `word` (at most 2^31 - 1 bytes of UTF-8). O(n log n) in its length.
  void Encode(std::string_view word, Workspace* workspace, std::vector<TokenId>* tokens) const;

 private:
  struct Merge {
    int32_t rank = 0;
    TokenId merged = -1;
  };

  static uint64_t PairKey(TokenId left, TokenId right) {
    return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
  }

  void Offer(int32_t left, Workspace* workspace) const;

  std::array<TokenId, 256> byte_tokens_{};
  absl::flat_hash_map<uint64_t, Merge> merges_;
  absl::flat_hash_map<std::string, TokenId> whole_words_;
};

}  // namespace deeprack::coordinator
