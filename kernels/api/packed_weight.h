// A weight matrix repacked for the matrix products. W is N x K (rows are output features), y = x W^T.
//
// Layout: panels of 16 rows. Within a panel, column k's 16 values are neighbours: element (n, k) is at
// panel (n / 16), offset (k * 16 + n % 16). Rows past N are zero. So a product walks k in order and keeps 16
// outputs in one vector; every output is one sum over k in ascending order, in fp32, whatever the number of
// rows of x.
//
// fp8: for each panel and each 128-column block of the *original* tensor that the slice touches, 16 fp32
// scales, one per row: scales[(panel * blocks + b) * 16 + n % 16]. Block b covers slice columns [max(0, b*128
// - first), min(K, (b+1)*128 - first)) with first = k_block_offset = col_begin % 128. So slices may cut
// through blocks in both directions. Products sum a block in fp32 and add sum * scale: fp32(block sum)
// rounded once per block.
//
// Block formats (base/block_formats.h): slices are whole blocks. A panel's k / BlockElements blocks follow
// each other, PackedBlockBytes(type) for 16 rows each: the source's bits, scales included, in the CPU
// kernels' own order (kernels/cpu/block_layout.h).
//
// WeightLayout::kRows, of bf16 and fp8 for the kernels that want it (KernelSet::row_major): the values
// row-major as in the checkpoint, [n][k], n a multiple of 16. fp8: two fp32 scales for each panel and each
// 128 columns, of the panel's first 8 rows and of its last 8: scales[(panel * blocks + b) * 2 + n % 16 / 8];
// k_block_offset is 0. The values take as many bytes as panels of them do.
//
// WeightLayout::kTiles, kTilesForE4M3: INT4_G128 in tiles of 128 rows and one group of 128 columns, a row of
// tiles after the other, n padded to whole tiles with zero bytes (kernels/api/int4_tiles.h). Scales and
// zeros lie in the tiles. The products of plain kernels with them: (q - zero) x summed over a group in fp32,
// times its scale, groups added in order.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"
#include "base/weight_layout.h"

namespace deeprack::kernels {

inline constexpr int64_t kPanelRows = 16;
inline constexpr int64_t kScaleBlock = 128;

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
    return type == DType::kF8E4M3 ? (k_block_offset + k + kScaleBlock - 1) / kScaleBlock : 0;
  }
};

// Bytes for the values alone and for the scales; each padded to 64.
int64_t PackedValueBytes(DType type, int64_t n, int64_t k);
int64_t PackedScaleBytes(DType type, int64_t n, int64_t k, int64_t col_begin);

}  // namespace deeprack::kernels
