// Weights as the Hopper matrix products read them: y = x W^T, W is [n, k].
//
// bf16, fp8: row-major as in the checkpoint, [groups][n][k]; a group is an expert or a head. fp8 has besides,
// for each panel of 16 rows and each block of 128 columns, two fp32 scales: of the panel's first 8 rows and
// of its last 8. So slices may begin at any row that is a multiple of 8 of the tensor, tensors may be stacked
// at multiples of 16 rows; a slice's first column must be a multiple of
// 128 of the tensor. int4: tiles of 128 rows and 128 columns (kernels/api/int4_tiles.h).
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
  // From one group's matrix, and its scales, to the next one's, where they do not follow each other. 0: they
  // do.
  int64_t group_stride_bytes = 0;  // multiple of 16
  int64_t group_stride_scales = 0;
  WeightLayout int4_layout = WeightLayout::kTiles;  // or kTilesForE4M3, by the type of x
};

constexpr int64_t ScaleBlocks(int64_t k) { return (k + kScaleBlock - 1) / kScaleBlock; }
constexpr int64_t ScaleCount(int64_t groups, int64_t n, int64_t k) {
  return groups * (n / kPanelRows) * ScaleBlocks(k) * 2;
}

// nullptr, or why a weight of this type and size, cut from these places of its tensors, is none that the
// Hopper products read: the plain ones must serve it.
const char* WhyNotRowWeight(DType type, int64_t n, int64_t k, int64_t row_begin, int64_t col_begin);

}  // namespace deeprack::kernels::sm90
