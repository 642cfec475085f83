// Follows one text, token by token, and says which tokens may come next. A matcher serves one sequence and
// one thread at a time.
#pragma once

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ids.h"

namespace deeprack::constraint {

// Words of a mask of `vocab_size` tokens. Token t is bit t % 32 of word t / 32: 1 where the token may come.
constexpr int64_t MaskWords(int64_t vocab_size) { return (vocab_size + 31) / 32; }

class Matcher {
 public:
  virtual ~Matcher() = default;

  // Takes the next token. False: the token may not come here, and nothing has changed. Errors: Internal, if
  // the matcher failed; the matcher must not be used any more.
  virtual absl::StatusOr<bool> Accept(TokenId token) = 0;

  // Writes the mask of the next token, MaskWords(vocab_size) words. End tokens may come where the text is
  // complete. Must not be called after the end. Errors: as Accept.
  virtual absl::Status Fill(std::span<uint32_t> mask) = 0;

  // Takes back the last `tokens` accepted tokens. Errors: as Accept.
  virtual absl::Status Rollback(int32_t tokens) = 0;

  virtual bool complete() const = 0;  // the text so far is a whole text of the constraint
  virtual bool ended() const = 0;     // an end token was accepted
};

}  // namespace deeprack::constraint
