// Packs weights from a checkpoint into the layouts that the matrix products read (packed_weight.h). One
// function for each WeightLayout. The functions write host memory, which the caller owns.
#pragma once

#include <cstdint>

#include "base/block_formats.h"
#include "base/dtype.h"
#include "base/weight_layout.h"
#include "kernels/api/packed_weight.h"

namespace deeprack::kernels {

// A slice of a row-major checkpoint tensor in memory. Does not own.
struct SourceMatrix {
  const void* data = nullptr;  // element (0, 0) of the slice; block formats: the block that begins there
  int64_t row_stride = 0;      // elements from one row to the next of the whole tensor (block formats too)
  DType type = DType::kF32;
  int64_t rows = 0;
  int64_t cols = 0;
  // fp8 only: the scales of the whole tensor, row-major [scale_rows, scale_cols], and the tensor's row and
  // column where the slice begins.
  const float* scales = nullptr;
  int64_t scale_cols = 0;
  int64_t row_begin = 0;
  int64_t col_begin = 0;
};

// A matrix in panels, and the row of it where a source begins.
struct PanelTarget {
  DType type;               // stored: the source's own type, or kF32 or kBF16 from any type
  int64_t first_row = 0;    // a multiple of 16
  int64_t total_rows = 0;   // of the matrix
  void* values = nullptr;   // of the whole matrix
  float* scales = nullptr;  // fp8 only: of the whole matrix
};

// WeightLayout::kPanels. Packs the source's rows as rows [first_row, first_row + source.rows) of the target.
// `source.rows` is a multiple of 16; the last source of a matrix may have any number of rows. Several sources
// stack: gate over up. fp8 values that become kF32 or kBF16 are multiplied by their scale in fp32 and rounded
// once; blocks are dequantised and rounded once. The last source also writes zeros to the rows that pad the
// last panel.
void PackRows(const SourceMatrix& source, const PanelTarget& target);

// WeightLayout::kRows. Copies bf16 or fp8 rows, without changing a value, to rows
// [first_row, first_row + source.rows) of one [n, k] matrix at `data` and `scales`. `first_row` is a multiple
// of 16. An fp8 slice begins at a row of its tensor that is a multiple of 8 and at a column that is a
// multiple of 128.
void PackRowMajor(const SourceMatrix& source, int64_t first_row, void* data, float* scales);

// WeightLayout::kTiles and kTilesForE4M3. Packs row `row` of one matrix, which is k / 128 blocks, into the
// matrix's tiles [ceil(n / 128)][k / 128] in the order of `layout`. The caller zeroes the tiles first: rows
// that pad the last tile are multiplied, and their results are not stored.
void PackInt4Row(const BlockInt4G128* blocks, int64_t row, int64_t k, WeightLayout layout, void* tiles);

}  // namespace deeprack::kernels
