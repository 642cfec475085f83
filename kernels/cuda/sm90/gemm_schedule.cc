#include "kernels/cuda/sm90/gemm_schedule.h"

#include <algorithm>

#include "kernels/cuda/sm90/weight.h"

namespace deeprack::kernels::sm90 {
namespace {

constexpr int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The time of a product that reads its weights once, in units of one block of 128 of K of one tile: waves
// times the longest part. Writing and reading partial sums adds about one block of K, and more for many
// parts.
int64_t Cost(int64_t tiles, int64_t blocks, int64_t splits) {
  const int64_t waves = CeilDiv(tiles * splits, kStreamingMultiprocessors);
  return waves * CeilDiv(blocks, splits) + (splits > 1 ? 1 + splits / 4 : 0);
}

}  // namespace

std::string GemmConfig::ToString() const {
  return "tiles of 128 features x " + std::to_string(tokens) + " tokens, K in " + std::to_string(splits) +
         (splits == 1 ? " part"
          : parallel  ? " parts side by side"
                      : " parts one after the other");
}

int ChooseSplits(int64_t groups, int64_t n, int64_t k) {
  if (groups > 1) return 1;  // groups fill the card
  const int64_t tiles = CeilDiv(n, kTileRows), blocks = ScaleBlocks(k);
  const auto most = std::min<int64_t>(kMaxSplits, blocks);
  int64_t best = Cost(tiles, blocks, 1);
  for (int64_t splits = 2; splits <= most; ++splits) best = std::min(best, Cost(tiles, blocks, splits));
  int64_t splits = 1;
  while (Cost(tiles, blocks, splits) * 20 > best * 21) ++splits;
  return static_cast<int>(splits);
}

GemmConfig ChooseGemm(int64_t groups, int64_t n, int64_t k, int64_t rows_per_group) {
  GemmConfig config{.splits = ChooseSplits(groups, n, k)};
  // Tiles of 128 tokens pay for more than two tiles of tokens, or if one tile of tokens fills the card.
  const bool wide = rows_per_group > 256 ||
                    (rows_per_group > 64 && CeilDiv(n, kTileRows) * groups >= kStreamingMultiprocessors);
  config.tokens = rows_per_group <= 8    ? 8
                  : rows_per_group <= 16 ? 16
                  : rows_per_group <= 32 ? 32
                  : wide                 ? 128
                                         : 64;
  config.parallel = config.splits > 1 && config.tokens < 128;
  return config;
}

int64_t PartialBytes(const GemmConfig& config, int64_t n, int64_t rows) {
  if (!config.parallel) return 0;
  return CeilDiv(n, kTileRows) * CeilDiv(rows, config.tokens) * config.splits * kTileRows * config.tokens *
         int64_t{sizeof(float)};
}

int64_t ArrivalBytes(const GemmConfig& config, int64_t n, int64_t rows) {
  return config.parallel ? CeilDiv(n, kTileRows) * CeilDiv(rows, config.tokens) * int64_t{sizeof(int)} : 0;
}

}  // namespace deeprack::kernels::sm90
