#include "cli/perplexity/windows.h"

namespace deeprack::cli {

std::vector<std::vector<TokenId>> CutWindows(std::span<const TokenId> tokens, int64_t context, TokenId bos) {
  std::vector<std::vector<TokenId>> windows;
  const size_t length = static_cast<size_t>(context);
  for (size_t begin = 0; begin + length <= tokens.size(); begin += length) {
    const auto part = tokens.subspan(begin, length);
    windows.emplace_back(part.begin(), part.end());
    if (bos >= 0) windows.back().front() = bos;
  }
  return windows;
}

}  // namespace deeprack::cli
