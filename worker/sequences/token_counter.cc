#include "worker/sequences/token_counter.h"

namespace deeprack::worker {

TokenCount& TokenCounter::CountOf(TokenId token) {
  const auto [found, is_new] = index_.try_emplace(token, counts_.size());
  if (is_new) counts_.push_back({.token = token});
  return counts_[found->second];
}

void TokenCounter::AddPrompt(std::span<const TokenId> tokens) {
  for (const TokenId token : tokens) ++CountOf(token).in_prompt;
}

void TokenCounter::AddOutput(std::span<const TokenId> tokens) {
  for (const TokenId token : tokens) ++CountOf(token).in_output;
}

}  // namespace deeprack::worker
