// Memory layout of rows of activations that are rounded to e4m3, with one fp32 scale for each row and 128
// columns. One piece of memory holds three parts: values, `stride` bytes for each row; scales [ceil(cols /
// 128)][scale_stride]; sums [ceil(cols / 128)][scale_stride]. A sum is a scale times the sum of the values
// that the scale belongs to. Products with weights that have zero points need the sums. The sums are always
// there, 3 % of the bytes, because the operation that rounds a row does not know which product reads the row.
#pragma once

#include <cstdint>

#include "base/checked.h"

namespace deeprack {

inline constexpr int64_t kRoundedColumns = 128;  // columns that share a scale

struct RoundedRowsLayout {
  int64_t stride = 0;        // bytes from a row's values to the next row's; a multiple of 16
  int64_t scale_stride = 0;  // scales of one group of columns: the rows, rounded up to a multiple of 4
  int64_t scales = 0;        // bytes from the beginning to the scales; a multiple of 16
  int64_t sums = 0;          // bytes from the beginning to the sums; a multiple of 16
  int64_t bytes = 0;
};

// `bytes` never decreases when `rows` or `cols` grows.
constexpr RoundedRowsLayout RoundedRowsLayoutOf(int64_t rows, int64_t cols) {
  RoundedRowsLayout layout = {.stride = RoundUp(cols, 16), .scale_stride = RoundUp(rows, 4)};
  const int64_t scale_bytes =
      CeilDiv(cols, kRoundedColumns) * layout.scale_stride * static_cast<int64_t>(sizeof(float));
  layout.scales = rows * layout.stride;
  layout.sums = layout.scales + scale_bytes;
  layout.bytes = layout.sums + scale_bytes;
  return layout;
}

// Memory layout of one rounded row [cols] that is sent to another rank: values, then its scales [ceil(cols /
// 128)], then its sums [ceil(cols / 128)].
struct RoundedRowLayout {
  int64_t scales = 0;  // bytes from the row's beginning to its scales; a multiple of 4
  int64_t sums = 0;    // bytes from the row's beginning to its sums; a multiple of 4
  int64_t bytes = 0;
};

constexpr RoundedRowLayout RoundedRowLayoutOf(int64_t cols) {
  const int64_t scale_bytes = CeilDiv(cols, kRoundedColumns) * static_cast<int64_t>(sizeof(float));
  RoundedRowLayout layout = {.scales = RoundUp(cols, 16)};
  layout.sums = layout.scales + scale_bytes;
  layout.bytes = layout.sums + scale_bytes;
  return layout;
}

}  // namespace deeprack
