// How latent attention is cut into work for the Hopper kernel: a pure function of the step's sequences, made
// on the host once a step for all layers, and read by the kernel from device memory, so that a CUDA graph can
// hold the launch.
//
// A tile is up to 64 columns: (query token, head) pairs of one sequence that walk the same pages together. A
// tile's pages are cut into parts of a fixed number of pages, each with a softmax of its own, which are
// folded together in order. That number depends on the query's own position alone: so its result does not
// depend on the batch, on chunking, or on the tokens it shares a tile with. Whether different blocks walk a
// tile's parts, to be folded by a second kernel, or one block walks them all, changes no bit.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/api/attention.h"

namespace deeprack::kernels::sm90 {

// One block's work: pages [page_begin, page_end) for the columns of a tile. Column c is query row `row` + c /
// heads of the tile, head head_begin + c % heads of the tile.
struct MlaItem {
  const BlockId* block_table;  // on the device
  int32_t row;
  int32_t tokens;  // of the tile that exist
  int32_t head_begin;
  int32_t visible;  // positions that the tile's first token sees; each further token sees one more
  int32_t page_begin, page_end;
  int32_t part_pages;  // of a part; with more pages than this: several parts, from the tile's first on
  int32_t partial;     // where the part's result goes; -1: the item is the whole tile, and goes to out
};

// A tile whose parts are to be merged: partial results [first_partial, + parts).
struct MlaMerge {
  int32_t row, tokens, head_begin;
  int32_t first_partial, parts;
};

struct MlaTile {
  int heads = 0;   // of a tile
  int tokens = 0;  // of a tile; heads * tokens is 16, 32 or 64
  int columns() const { return heads * tokens; }
};

struct MlaPlan {
  MlaTile tile;
  std::vector<MlaItem> items;  // longest first
  std::vector<MlaMerge> merges;
  int32_t partials = 0;  // results to be kept between the two kernels
};

// Pages of a part, for a query that sees so many positions.
constexpr int PagesOfPart(int64_t visible) {
  const int64_t pages = (visible + kPageTokens - 1) / kPageTokens;
  return pages <= 64 ? 8 : pages <= 256 ? 16 : 32;
}

// nullptr, or why this many heads are not served here.
const char* WhyNotMla(int64_t heads, int64_t latent_dim, int64_t rope_dim);

// The tile for a step whose longest chunk has so many rows.
MlaTile ChooseMlaTile(int64_t heads, int64_t most_rows);

// sequences: on the host, with block tables on the device. A tile's parts are walked by different blocks when
// the tile has more than its share of all pages, so that a batch of few or of unlike sequences keeps the card
// busy.
inline constexpr int64_t kMlaShares = 132;
MlaPlan PlanMla(int64_t heads, const AttentionSequence* sequences, int64_t num_sequences,
                int64_t shares = kMlaShares);

// Room that a plan of these bounds never exceeds: for buffers that are made once.
struct MlaPlanBounds {
  int64_t items = 0, merges = 0, partials = 0;
};
MlaPlanBounds BoundMlaPlan(int64_t heads, int64_t rows, int64_t sequences, int64_t max_context);

}  // namespace deeprack::kernels::sm90
