// Which tokens of a text are scored, and after what. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/ids.h"

namespace deeprack::cli {

// As llama.cpp's perplexity does it: the text's tokens are cut into windows of `context` that do not overlap;
// what is left at the end is not used. In each window the first token is replaced by `bos` (-1: stays), and
// the tokens at positions (context / 2, context) are scored, so that each has at least half a window before
// it.
std::vector<std::vector<TokenId>> CutWindows(std::span<const TokenId> tokens, int64_t context, TokenId bos);

// The first position that is scored.
inline int64_t FirstScored(int64_t context) { return context / 2 + 1; }

}  // namespace deeprack::cli
