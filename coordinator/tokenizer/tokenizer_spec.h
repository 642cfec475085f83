// What a tokenizer is made of, whatever file said so, and the checks that hold for all of them.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ids.h"

namespace deeprack::coordinator {

inline constexpr int64_t kMaxTokenId = (1 << 22) - 1;  // sixteen times the largest vocabulary in use

struct AddedToken {
  std::string content;
  TokenId id = -1;
  bool special = false;
  bool normalized = false;  // looked for after normalising, not before
};

struct TokenizerSpec {
  struct Merge {
    TokenId left = -1;
    TokenId right = -1;
    TokenId merged = -1;
  };

  absl::flat_hash_map<std::string, TokenId> vocab;  // as written in the file: byte-level symbols
  std::array<TokenId, 256> byte_tokens{};  // -1 for the bytes that UTF-8 never uses, if they have none
  std::vector<Merge> merges;               // by rank, no pair twice
  bool ignore_merges = false;
  std::vector<AddedToken>
      added_tokens;  // distinct contents and ids; an id outside vocab unless the content is in it
  bool nfc = false;  // Unicode normalization form C comes first
  std::vector<std::string> splits;  // regexes, applied one after the other
  TokenId largest_id = -1;
};

// Puts a spec together token by token. Every fault is InvalidArgument and begins with `where`.
class TokenizerSpecBuilder {
 public:
  TokenizerSpec& spec() { return spec_; }

  // `id` is from 0 to kMaxTokenId. Faults: an empty token, one that is there, an id that is taken.
  absl::Status AddToVocab(std::string_view token, TokenId id, const std::string& where);
  absl::Status AddAdded(AddedToken token, const std::string& where);

  // After the vocabulary: each byte of UTF-8 has its token. `where` names the vocabulary.
  absl::Status FindByteTokens(const std::string& where);

  // Of the next rank. Both tokens and what they make together are in the vocabulary or added before.
  absl::Status AddMerge(std::string_view left, std::string_view right, const std::string& where);

  TokenizerSpec Take() { return std::move(spec_); }

 private:
  absl::Status TakeId(TokenId id, std::string_view token, const std::string& where);
  absl::StatusOr<TokenId> IdOf(const std::string& token, const std::string& where) const;

  TokenizerSpec spec_;
  absl::flat_hash_map<TokenId, std::string> owners_;
  absl::flat_hash_map<std::string, TokenId> added_;
  absl::flat_hash_set<std::pair<TokenId, TokenId>> pairs_;
};

}  // namespace deeprack::coordinator
