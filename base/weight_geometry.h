// Sizes of weight matrices in memory: for the kernels that multiply by them (kernels/api/packed_weight.h has
// the order of the values) and for the sizes of allocations (sizing/).
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "base/weight_layout.h"

namespace deeprack {

// Rows of a panel (WeightLayout::kPanels). The last panel is padded.
inline constexpr int64_t kPanelRows = 16;

// Columns, and rows, of a checkpoint's fp8 tensor that share one scale.
inline constexpr int64_t kScaleBlock = 128;

// A tile of int4 (IsTiles): 128 rows of one group of 128 columns. Each row has 64 bytes of values, a scale of
// 4 bytes and a zero of 1 byte. The last tile of rows is padded.
inline constexpr int64_t kInt4TileRows = 128;
inline constexpr int64_t kInt4TileBytes = kInt4TileRows * (64 + 4 + 1);

// Bytes: values and scales of a matrix are padded to this each.
inline constexpr int64_t kWeightAlignment = 64;

// fp32 scales of a panel for each block of columns: one a row; with WeightLayout::kRows one for each half of
// the panel's rows.
constexpr int64_t ScalesOfPanel(WeightLayout layout) {
  return layout == WeightLayout::kRows ? 2 : kPanelRows;
}

// Blocks of kScaleBlock columns of the whole tensor that `cols` columns from column `col_begin` on touch.
constexpr int64_t ScaleBlocksOf(int64_t cols, int64_t col_begin) {
  return (col_begin % kScaleBlock + cols + kScaleBlock - 1) / kScaleBlock;
}

// Bytes of `groups` int4 matrices [rows, cols] in tiles, which lie as [groups][ceil(rows / 128)][cols / 128].
constexpr int64_t Int4Bytes(int64_t groups, int64_t rows, int64_t cols) {
  return groups * ((rows + kInt4TileRows - 1) / kInt4TileRows) * (cols / kScaleBlock) * kInt4TileBytes;
}

// Bytes of the values of a matrix [rows, cols], padded.
int64_t PackedValueBytes(DType type, int64_t rows, int64_t cols, WeightLayout layout = WeightLayout::kPanels);

// Bytes of its scales, padded; 0 unless the type is fp8. `col_begin` is where the slice begins in the whole
// tensor.
int64_t PackedScaleBytes(DType type, int64_t rows, int64_t cols, int64_t col_begin,
                         WeightLayout layout = WeightLayout::kPanels);

}  // namespace deeprack
