// The plan of latent attention: the division into work for the Hopper kernel. The plan is a pure function of
// the step's sequences. The host makes the plan once a step for all layers. The kernel reads the plan from
// the card's memory, so a CUDA graph can hold the launch.
//
// A tile is up to 64 columns: (query token, head) pairs of one sequence that walk the same pages. The pages
// of a tile are cut into parts of a fixed number of pages. Each part has its own softmax, and parts are
// folded in order. A query's position alone decides the number of pages in a part, so a query's result does
// not depend on the batch, on chunking, or on the tokens in the same tile. Either one block walks all parts
// of a tile, or different blocks walk them and a second kernel folds them; the bits are the same.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/api/attention.h"

namespace deeprack::kernels::sm90 {

// The work of one block: pages [page_begin, page_end) for the columns of a tile. Column c is query row
// row + c / tile.heads and head head_begin + c % tile.heads.
struct MlaItem {
  const BlockId* block_table;  // on the device
  int32_t row;
  int32_t tokens;  // tokens of the tile
  int32_t head_begin;
  int32_t visible;  // positions that the tile's first token sees; each later token sees one more
  int32_t page_begin, page_end;
  int32_t part_pages;  // pages of a part; an item with more pages has several parts
  int32_t partial;     // index of the part's result; -1: the item is the whole tile and writes to out
};

// A tile whose parts are merged: partial results [first_partial, first_partial + parts).
struct MlaMerge {
  int32_t row, tokens, head_begin;
  int32_t first_partial, parts;
};

struct MlaTile {
  int heads = 0;   // heads of a tile
  int tokens = 0;  // tokens of a tile; heads * tokens is 16, 32 or 64
  int columns() const { return heads * tokens; }
};

struct MlaPlan {
  MlaTile tile;
  std::vector<MlaItem> items;  // longest first
  std::vector<MlaMerge> merges;
  int32_t partials = 0;  // number of partial results between the two kernels
};

// Pages of a part, for a query that sees `positions` positions.
constexpr int PagesOfPart(int64_t visible) {
  const int64_t pages = (visible + kPageTokens - 1) / kPageTokens;
  return pages <= 64 ? 8 : pages <= 256 ? 16 : 32;
}

// nullptr, or why the Hopper kernel does not serve these sizes.
const char* WhyNotMla(int64_t heads, int64_t latent_dim, int64_t rope_dim);

// The tile for a step whose longest chunk has `most_rows` rows.
MlaTile ChooseMlaTile(int64_t heads, int64_t most_rows);

// `sequences` is in host memory, the block tables in the card's memory. Different blocks walk the parts of a
// tile that has more than its share of all pages, so that a batch of few or of unequal sequences keeps the
// card busy.
inline constexpr int64_t kMlaShares = 132;
MlaPlan PlanMla(int64_t heads, const AttentionSequence* sequences, int64_t num_sequences,
                int64_t shares = kMlaShares);

// The largest plan within these bounds, for buffers that are allocated once.
struct MlaPlanBounds {
  int64_t items = 0, merges = 0, partials = 0;
};
MlaPlanBounds BoundMlaPlan(int64_t heads, int64_t rows, int64_t sequences, int64_t max_context);

}  // namespace deeprack::kernels::sm90
