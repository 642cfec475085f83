#include "constraint/vocabulary_keeper.h"

#include <utility>

#include "base/status_macros.h"

namespace deeprack::constraint {

absl::StatusOr<std::shared_ptr<const Vocabulary>> VocabularyKeeper::Make(std::vector<std::string> tokens,
                                                                         int32_t vocab_size,
                                                                         std::vector<TokenId> end_tokens) {
  const std::lock_guard lock(mutex_);
  if (made_ != nullptr && tokens == tokens_ && vocab_size == vocab_size_ && end_tokens == end_tokens_)
    return made_;
  DR_ASSIGN_OR_RETURN(made_, Vocabulary::Make(tokens, vocab_size, end_tokens));
  tokens_ = std::move(tokens);
  vocab_size_ = vocab_size;
  end_tokens_ = std::move(end_tokens);
  return made_;
}

}  // namespace deeprack::constraint
