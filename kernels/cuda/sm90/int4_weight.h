// int4 weights as the Hopper products read them: tiles of 128 rows x 128 columns (one group of columns), each
// one contiguous piece that a single copy brings, in the order of the registers that multiply it.
//
// A tile: 128 fp32 scales, 128 bytes of zeros, then 8192 bytes of values: for each of 8 panels of 16 rows,
// each half of 64 columns and each lane of a warp 16 bytes: for each of its 4 steps of 16 columns a word with
// the lane's 8 values of the fragment (layout.h). Nibble j of the word (bits 4j): the even column of fragment
// register j, nibble j + 4 the odd one; so one shift and one mask give both in the places of a pair of bf16.
// value = (q - zero) * scale.
#pragma once

#include "base/block_formats.h"
#include "kernels/cuda/sm90/isa/layout.h"
#include "kernels/cuda/sm90/weight.h"

namespace deeprack::kernels::sm90 {

inline constexpr int64_t kInt4ZeroOffset = kTileRows * 4;
inline constexpr int64_t kInt4ValueOffset = kInt4ZeroOffset + kTileRows;
inline constexpr int64_t kInt4TileBytes = kInt4ValueOffset + kTileRows * 64;

// Tiles of [groups][ceil(n / 128)][k / 128].
constexpr int64_t Int4Bytes(int64_t groups, int64_t n, int64_t k) {
  return groups * ((n + kTileRows - 1) / kTileRows) * (k / kScaleBlock) * kInt4TileBytes;
}

// Nibble of a tile's values that holds element (row, column), both below 128; nibble i is in byte i / 2, the
// low one first.
constexpr int64_t Int4Nibble(int row, int column) {
  const int panel = row / 16, half = column / 64, step = column % 64 / 16;
  const int lane = row % 8 * 4 + column % 8 / 2;
  const int j =
      row % 16 / 8 + column % 16 / 8 * 2;  // fragment register: the row's half, then the column's half
  return (((panel * 2 + half) * kWarp + lane) * 4 + step) * 8 + j + column % 2 * 4;
}

// Packs one row of blocks to row `row` of one group's tiles ([ceil(n / 128)][k / 128]); `blocks`: k / 128 of
// them. Rows that are never packed must be zero bytes: they are multiplied, and not stored.
void PackInt4Row(const BlockInt4G128* blocks, int64_t row, int64_t k, void* tiles);

}  // namespace deeprack::kernels::sm90
