// Keeps the vocabulary that was made last. A rank is told the model's tokens with each load, and a vocabulary
// of 129,280 tokens takes about 0.1 s.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/ids.h"
#include "constraint/vocabulary.h"

namespace deeprack::constraint {

class VocabularyKeeper {
 public:
  // As Vocabulary::Make. Arguments equal to those of the call before give the same object. Thread-safe.
  absl::StatusOr<std::shared_ptr<const Vocabulary>> Make(std::vector<std::string> tokens, int32_t vocab_size,
                                                         std::vector<TokenId> end_tokens);

 private:
  std::mutex mutex_;
  std::vector<std::string> tokens_;
  int32_t vocab_size_ = 0;
  std::vector<TokenId> end_tokens_;
  std::shared_ptr<const Vocabulary> made_;  // null: nothing was made
};

}  // namespace deeprack::constraint
