// A weight matrix packed for the matrix products. W is [n, k]; rows are output features; y = x W^T.
// weight_packing.h packs a checkpoint's rows.
//
// WeightLayout::kPanels: panels of 16 rows. Within a panel the 16 values of a column are neighbours: element
// (n, k) is in panel n / 16 at offset k * 16 + n % 16. Rows that pad the last panel are zero. A product walks
// k in order and keeps 16 outputs in one vector. Every output is one fp32 sum over ascending k, for any
// number of rows of x.
//
// kPanels, fp8: 16 fp32 scales, one per row, for each panel and each 128-column block of the *original*
// tensor that the slice touches: scales[(panel * blocks + b) * 16 + n % 16]. Block b covers slice columns
// [max(0, b * 128 - first), min(k, (b + 1) * 128 - first)) with first = k_block_offset = col_begin % 128. So
// a slice may cut through blocks in both directions. Products sum a block in fp32 and add sum * scale, which
// rounds once per block.
//
// kPanels, block formats (base/block_formats.h): slices are whole blocks. A panel is k / BlockElements(type)
// blocks one after the other, PackedBlockBytes(type) for the 16 rows of each. The bits are the source's,
// scales included, in the order of the CPU kernels (kernels/cpu/block_layout.h).
//
// WeightLayout::kRows, for bf16 and fp8 (KernelNeeds::row_major): the values are row-major as in the
// checkpoint, [n][k], with n a multiple of 16. fp8: two fp32 scales for each panel of 16 rows and each 128
// columns, of the panel's first 8 rows and of its last 8 rows: scales[(panel * blocks + b) * 2 + n % 16 / 8];
// k_block_offset is 0. The values take the same number of bytes as in panels.
//
// WeightLayout::kTiles and kTilesForE4M3, for INT4_G128: tiles of 128 rows and one group of 128 columns, in
// row-major order of tiles, with n padded to whole tiles by zero bytes (kernels/api/int4_tiles.h). The tiles
// hold scales and zeros. Plain kernels sum (q - zero) * x over a group in fp32, multiply by the group's
// scale, and add groups in order.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"
#include "base/weight_geometry.h"

namespace deeprack::kernels {

struct PackedWeight {
  const void* data = nullptr;     // 64-byte aligned
  const float* scales = nullptr;  // fp8 only
  DType type = DType::kF32;       // kF32, kBF16, kF8E4M3 or a block format
  int64_t n = 0;                  // output features
  int64_t k = 0;                  // input features
  int64_t k_block_offset = 0;     // fp8: col_begin % 128
  WeightLayout layout = WeightLayout::kPanels;

  constexpr int64_t panels() const { return (n + kPanelRows - 1) / kPanelRows; }
  constexpr int64_t scale_blocks() const {
    return type == DType::kF8E4M3 ? ScaleBlocksOf(k, k_block_offset) : 0;
  }
};

}  // namespace deeprack::kernels
