#include "coordinator/scheduler/token_counter.h"

namespace deeprack::coordinator {

void TokenCounter::AddPrompt(absl::Span<const TokenId> tokens) {
  for (TokenId token : tokens) ++counts_[token].in_prompt;
}

void TokenCounter::AddOutput(TokenId token) { ++counts_[token].in_output; }

std::vector<model::TokenCount> TokenCounter::counts() const {
  std::vector<model::TokenCount> list;
  list.reserve(counts_.size());
  for (const auto& [token, count] : counts_) list.push_back({token, count.in_prompt, count.in_output});
  return list;
}

}  // namespace deeprack::coordinator
