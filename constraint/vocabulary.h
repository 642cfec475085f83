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

  struct Library;  // constraint/library.h
  const Library& library() const { return *library_; }

 private:
  Vocabulary(std::unique_ptr<const Library> library, int32_t vocab_size);

  const std::unique_ptr<const Library> library_;
  const int32_t vocab_size_;
};

}  // namespace deeprack::constraint
