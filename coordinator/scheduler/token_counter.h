// How often each token has occurred in a sequence, for penalties. Updated token by token.
#pragma once

#include <vector>

#include "absl/container/btree_map.h"
#include "absl/types/span.h"
#include "base/ids.h"
#include "model/step/step_plan.h"

namespace deeprack::coordinator {

class TokenCounter {
 public:
  void AddPrompt(absl::Span<const TokenId> tokens);
  void AddOutput(TokenId token);

  // The number of distinct tokens.
  int64_t size() const { return static_cast<int64_t>(counts_.size()); }
  // The counts in ascending order of tokens.
  std::vector<model::TokenCount> counts() const;

 private:
  struct Count {
    int32_t in_prompt = 0;
    int32_t in_output = 0;
  };
  absl::btree_map<TokenId, Count> counts_;
};

}  // namespace deeprack::coordinator
