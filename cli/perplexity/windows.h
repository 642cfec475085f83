// Cuts a text into windows of tokens that are scored. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/ids.h"

namespace deeprack::cli {

// Windows of `context` tokens as in llama.cpp's perplexity. Windows do not overlap, and a part of a window at
// the end of the text is left out. `bos` takes the place of the first token of each window (-1: the token
// stays). The tokens at positions (context / 2, context) are scored, so at least half a window comes before
// each.
std::vector<std::vector<TokenId>> CutWindows(std::span<const TokenId> tokens, int64_t context, TokenId bos);

// The first position that is scored.
inline int64_t FirstScored(int64_t context) { return context / 2 + 1; }

}  // namespace deeprack::cli
