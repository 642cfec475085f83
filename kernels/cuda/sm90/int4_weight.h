// Packing of int4 weights for the Hopper products (kernels/api/int4_tiles.h).
#pragma once

#include "base/block_formats.h"
#include "kernels/api/int4_tiles.h"
#include "kernels/cuda/sm90/weight.h"

namespace deeprack::kernels::sm90 {

static_assert(kTileRows == kInt4TileRows);

// Packs one row of blocks to row `row` of one group's tiles ([ceil(n / 128)][k / 128]); `blocks`: k / 128 of
// them. Rows that are never packed must be zero bytes: they are multiplied, and not stored.
void PackInt4Row(const BlockInt4G128* blocks, int64_t row, int64_t k, void* tiles,
                 Int4Order order = Int4Order::kForBF16);

}  // namespace deeprack::kernels::sm90
