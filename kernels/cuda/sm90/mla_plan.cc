#include "kernels/cuda/sm90/mla_plan.h"

#include <algorithm>

namespace deeprack::kernels::sm90 {
namespace {

constexpr int kMostColumns = 64;
constexpr int kFewestColumns = 16;

int64_t Parts(int64_t visible) {
  const int64_t pages = (visible + kPageTokens - 1) / kPageTokens;
  return (pages + PagesOfPart(visible) - 1) / PagesOfPart(visible);
}

}  // namespace

const char* WhyNotMla(int64_t heads, int64_t latent_dim, int64_t rope_dim) {
  if (latent_dim != 512 || rope_dim != 64) return "its latent is not 512 + 64 wide";
  if (heads != 8 && heads != 16 && heads != 32 && heads % 64 != 0)
    return "its heads are not 8, 16, 32 or a multiple of 64";
  return nullptr;
}

MlaTile ChooseMlaTile(int64_t heads, int64_t most_rows) {
  MlaTile tile{.heads = static_cast<int>(std::min<int64_t>(heads, kMostColumns)), .tokens = 1};
  while (tile.columns() < kFewestColumns || (tile.columns() < kMostColumns && tile.tokens < most_rows))
    tile.tokens *= 2;
  return tile;
}

MlaPlan PlanMla(int64_t heads, const AttentionSequence* sequences, int64_t num_sequences, int64_t shares) {
  int64_t most_rows = 1;
  for (int64_t s = 0; s < num_sequences; ++s) most_rows = std::max<int64_t>(most_rows, sequences[s].rows);
  MlaPlan plan{.tile = ChooseMlaTile(heads, most_rows)};
  // First come the tiles of the first heads, one item each. Then tiles that are too long are cut, and all
  // items are repeated for the other heads.
  std::vector<MlaItem> tiles;
  int64_t all_pages = 0;
  const auto head_tiles = static_cast<int32_t>(heads) / plan.tile.heads;
  for (int64_t s = 0; s < num_sequences; ++s) {
    const AttentionSequence& sequence = sequences[s];
    for (int32_t begin = 0, end = 0; begin < sequence.rows; begin = end) {
      // Tokens of a tile have parts of the same size.
      const int32_t visible = sequence.first_position + begin + 1;
      const int part_pages = PagesOfPart(visible);
      end = begin + 1;
      while (end < sequence.rows && end - begin < plan.tile.tokens &&
             PagesOfPart(visible + end - begin) == part_pages)
        ++end;
      const int64_t pages = (visible + end - begin - 1 + kPageTokens - 1) / kPageTokens;
      tiles.push_back({sequence.block_table, sequence.first_row + begin, end - begin, 0, visible, 0,
                       static_cast<int32_t>(pages), part_pages, -1});
      all_pages += pages * head_tiles;
    }
  }
  for (const MlaItem& tile : tiles) {
    const bool whole = tile.page_end <= tile.part_pages || tile.page_end * shares <= all_pages;
    const int32_t pages = whole ? tile.page_end : tile.part_pages,
                  parts = (tile.page_end + pages - 1) / pages;
    // Items of the same pages are neighbours, so that blocks that run together share the pages in the L2.
    for (int32_t p = 0; p < parts; ++p) {
      for (int32_t h = 0; h < head_tiles; ++h) {
        MlaItem item = tile;
        item.head_begin = h * plan.tile.heads;
        item.page_begin = p * pages;
        item.page_end = std::min(tile.page_end, (p + 1) * pages);
        item.partial = whole ? -1 : plan.partials + h * parts + p;
        plan.items.push_back(item);
      }
    }
    if (whole) continue;
    for (int32_t h = 0; h < head_tiles; ++h, plan.partials += parts) {
      plan.merges.push_back({tile.row, tile.tokens, h * plan.tile.heads, plan.partials, parts});
    }
  }
  std::stable_sort(plan.items.begin(), plan.items.end(), [](const MlaItem& a, const MlaItem& b) {
    return a.page_end - a.page_begin > b.page_end - b.page_begin;
  });
  return plan;
}

MlaPlanBounds BoundMlaPlan(int64_t heads, int64_t rows, int64_t sequences, int64_t max_context) {
  // A tile that is not full ends a chunk, or precedes one of the two changes of the part size. Every tile has
  // at least one token.
  const int64_t head_tiles = std::max<int64_t>(1, heads / kMostColumns);
  const int64_t tiles = std::min(rows, rows / ChooseMlaTile(heads, rows).tokens + 3 * sequences) * head_tiles;
  int64_t parts = 1;
  for (int64_t visible : {int64_t{64} * kPageTokens, int64_t{256} * kPageTokens, max_context}) {
    parts = std::max(parts, Parts(std::min(visible, max_context)));
  }
  // Fewer tiles than shares can have more than a share.
  const int64_t cut = parts > 1 ? std::min(tiles, kMlaShares) : 0;
  return {tiles + cut * (parts - 1), cut, cut * parts};
}

}  // namespace deeprack::kernels::sm90
