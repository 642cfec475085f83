// The model's tokens as the matchers need them. Made once; immutable, so thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/ids.h"

namespace deeprack::constraint {

class Vocabulary {
 public:
  // tokens[id]: the bytes of a token, which may be a part of a UTF-8 character. Empty: the token is no text
  // (special tokens, markers, ids without a token); it comes only where a constraint names its id.
  // `vocab_size`: the number of logits, at least tokens.size(). `end_tokens`: tokens that end an answer, at
  // least one. Errors: InvalidArgument, if an end token or vocab_size is out of range.
  static absl::StatusOr<std::shared_ptr<const Vocabulary>> Make(std::vector<std::string> tokens,
                                                                int32_t vocab_size,
                                                                std::span<const TokenId> end_tokens);
  ~Vocabulary();

  int32_t vocab_size() const { return vocab_size_; }

  // A byte 0xed at a token's end and a byte from 0xa0 to 0xbf at the next token's beginning would be half of
  // a surrogate pair, which UTF-8 does not have. The compiler takes it for a character.
  bool EndsBeforeHalf(TokenId token) const { return ends_before_half_[static_cast<size_t>(token)]; }
  bool BeginsHalf(TokenId token) const { return begins_half_[static_cast<size_t>(token)]; }
  std::span<const uint32_t> half_mask() const { return half_mask_; }  // tokens that BeginsHalf, as a mask

  struct Library;  // constraint/library.h
  const Library& library() const { return *library_; }

 private:
  Vocabulary(std::unique_ptr<const Library> library, std::span<const std::string> tokens);

  const std::unique_ptr<const Library> library_;
  const int32_t vocab_size_;
  std::vector<bool> ends_before_half_, begins_half_;  // [vocab_size]
  std::vector<uint32_t> half_mask_;
};

}  // namespace deeprack::constraint
