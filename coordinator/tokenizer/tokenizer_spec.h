// The parts of a tokenizer as values, from a tokenizer.json or a GGUF, and the checks that every tokenizer
// passes.
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
  bool normalized = false;  // found in the text after normalising; false: before
};

struct TokenizerSpec {
  struct Merge {
    TokenId left = -1;
    TokenId right = -1;
    TokenId merged = -1;
  };

  absl::flat_hash_map<std::string, TokenId> vocab;  // the file's spelling, in byte-level symbols
  std::array<TokenId, 256> byte_tokens{};           // -1: no token, only for bytes that UTF-8 never uses
  std::vector<Merge> merges;                        // by rank; every pair once
  bool ignore_merges = false;
  std::vector<AddedToken> added_tokens;  // distinct contents and ids; the id is not in vocab, or belongs to
                                         // the same content there
  bool nfc = false;                      // texts are normalised to Unicode's form C before they are cut
  std::vector<std::string> splits;       // regexes; each cuts the pieces of the one before
  TokenId largest_id = -1;
};

// Builds a spec token by token. Every error is InvalidArgument, and its message begins with `where`.
class TokenizerSpecBuilder {
 public:
  TokenizerSpec& spec() { return spec_; }

  // `id` is from 0 to kMaxTokenId. Errors: the token is empty or was added before; another token has the id.
  absl::Status AddToVocab(std::string_view token, TokenId id, const std::string& where);
  absl::Status AddAdded(AddedToken token, const std::string& where);

  // Called after the last token of the vocabulary. Error: a byte of UTF-8 has no token. `where` names the
  // vocabulary.
  absl::Status FindByteTokens(const std::string& where);

  // Adds the merge of the next rank. Error: one of the two tokens, or the token that they make, is unknown.
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
