// How often each token has occurred in a sequence, for penalties. Updated token by token.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/ids.h"
#include "worker/sequences/group_step.h"

namespace deeprack::worker {

class TokenCounter {
 public:
  void AddPrompt(std::span<const TokenId> tokens);
  void AddOutput(std::span<const TokenId> tokens);

  // One entry for each distinct token, in the order of first occurrence. Valid until the next Add.
  std::span<const TokenCount> counts() const { return counts_; }

 private:
  TokenCount& CountOf(TokenId token);

  absl::flat_hash_map<TokenId, size_t> index_;  // in counts_
  std::vector<TokenCount> counts_;
};

}  // namespace deeprack::worker
