// What a tokenizer.json says, read strictly: either it is all here, or the file is refused by name.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "base/ids.h"

namespace deeprack::coordinator {

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

// Reads the text of a tokenizer.json. Errors say where in the file: "model.merges[7]: ...". InvalidArgument.
absl::StatusOr<TokenizerSpec> ParseTokenizerJson(std::string_view text);

}  // namespace deeprack::coordinator
