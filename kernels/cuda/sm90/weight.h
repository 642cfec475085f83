// Weights as the Hopper matrix products read them: y = x W^T, W is [n, k].
//
// bf16, fp8: row-major as in the checkpoint, [groups][n][k]; a group is an expert or a head. fp8 also has two
// fp32 scales for each panel of 16 rows and each block of 128 columns: one for the panel's first 8 rows, one
// for its last 8 rows. So a slice may begin at a row of its tensor that is a multiple of 8, and tensors may
// be stacked at multiples of 16 rows. A slice must begin at a column of its tensor that is a multiple of 128.
// int4: tiles of 128 rows and 128 columns (kernels/api/int4_tiles.h).
#pragma once

#include <cstdint>

#include "kernels/api/packed_weight.h"

namespace deeprack::kernels::sm90 {

inline constexpr int64_t kTileRows = 128;  // rows of W that a block multiplies at a time

struct RowWeight {
  const void* data = nullptr;     // 16-byte aligned
  const float* scales = nullptr;  // fp8: [groups][n / 16][ceil(k / 128)][2]; int4: in data
  DType type = DType::kBF16;      // kBF16, kF8E4M3, kInt4G128
  int64_t groups = 1;
  int64_t n = 0;  // multiple of 16
  int64_t k = 0;  // bf16: multiple of 8, fp8: of 16, int4: of 128
  // The distance of neighbouring groups' matrices, and of their scales. 0: groups are contiguous.
  int64_t group_stride_bytes = 0;  // multiple of 16
  int64_t group_stride_scales = 0;
  WeightLayout int4_layout = WeightLayout::kTiles;  // or kTilesForE4M3, by the type of x
};

constexpr int64_t ScaleBlocks(int64_t k) { return ScaleBlocksOf(k, 0); }
constexpr int64_t ScaleCount(int64_t groups, int64_t n, int64_t k) {
  return groups * (n / kPanelRows) * ScaleBlocks(k) * 2;
}

// nullptr, or why the Hopper products cannot read a weight of this type and size whose slices begin at these
// rows and columns of their tensors. The plain products read such a weight.
const char* WhyNotRowWeight(DType type, int64_t n, int64_t k, int64_t row_begin, int64_t col_begin);

}  // namespace deeprack::kernels::sm90
