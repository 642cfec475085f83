// When a sequence ends by itself. The scheduler and the ranks ask the same rule, so both know the last token
// without telling each other.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/ids.h"

namespace deeprack::model {

struct EndRule {
  std::vector<TokenId> stop_tokens;  // the sequence ends after one of these
  bool ignore_stops = false;  // stop tokens end nothing; below min_tokens they are not drawn all the same
  int32_t min_tokens = 0;     // no stop token is drawn before the output has this many tokens
  int32_t max_size = 0;       // prompt and output together; the sequence ends at this size

  bool operator==(const EndRule&) const = default;
};

enum class SequenceEnd : uint8_t { kNone, kStop, kLength };

// The end of a sequence of `size` tokens whose last one is `token`. The first prompt_size tokens are the
// prompt.
inline SequenceEnd EndAfter(const EndRule& rule, int32_t prompt_size, int32_t size, TokenId token) {
  const bool may_stop = !rule.ignore_stops && size - prompt_size > rule.min_tokens;
  if (may_stop &&
      std::find(rule.stop_tokens.begin(), rule.stop_tokens.end(), token) != rule.stop_tokens.end())
    return SequenceEnd::kStop;
  return size >= rule.max_size ? SequenceEnd::kLength : SequenceEnd::kNone;
}

}  // namespace deeprack::model
