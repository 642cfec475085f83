// Rows of activations rounded to e4m3, with an fp32 scale for each row and 128 columns: how they lie in one
// piece of memory. `stride` bytes a row of values, then the scales, [ceil(cols / 128)][scale_stride], then as
// many sums: a scale times the sum of its values, which products with zero points of weights need. They
// are there for all weights, 3 % of the bytes: who rounds a row does not know what will read it.
#pragma once

#include <cstdint>

#include "base/checked.h"

namespace deeprack {

inline constexpr int64_t kRoundedColumns = 128;  // of a scale

struct RoundedRowsLayout {
  int64_t stride = 0;        // multiple of 16
  int64_t scale_stride = 0;  // multiple of 4, at least the rows
  int64_t scales = 0;        // bytes from the beginning, as `sums`: multiples of 16
  int64_t sums = 0;
  int64_t bytes = 0;
};

// More rows, or more columns, never take fewer bytes.
constexpr RoundedRowsLayout RoundedRowsLayoutOf(int64_t rows, int64_t cols) {
  RoundedRowsLayout layout = {.stride = RoundUp(cols, 16), .scale_stride = RoundUp(rows, 4)};
  const int64_t scale_bytes =
      CeilDiv(cols, kRoundedColumns) * layout.scale_stride * static_cast<int64_t>(sizeof(float));
  layout.scales = rows * layout.stride;
  layout.sums = layout.scales + scale_bytes;
  layout.bytes = layout.sums + scale_bytes;
  return layout;
}

// One of those rows on its way between ranks, in one piece: its values, then its scales, then its sums.
struct RoundedRowLayout {
  int64_t scales = 0;  // bytes from the row's beginning, as `sums`: multiples of 4
  int64_t sums = 0;
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
