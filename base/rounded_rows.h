// Rows of activations rounded to e4m3, with an fp32 scale for each row and 128 columns: how they lie in one
// piece of memory. `stride` bytes a row of values, then the scales, [ceil(cols / 128)][scale_stride], then as
// many sums: a scale times the sum of its values, which products with zero points of weights need.
#pragma once

#include <cstdint>

#include "base/checked.h"

namespace deeprack {

struct RoundedRowsLayout {
  int64_t stride = 0;        // multiple of 16
  int64_t scale_stride = 0;  // multiple of 4, at least the rows
  int64_t scales = 0;        // bytes from the beginning, as `sums`: multiples of 16
  int64_t sums = 0;
  int64_t bytes = 0;
};

// More rows, or more columns, never take fewer bytes.
constexpr RoundedRowsLayout RoundedRowsLayoutOf(int64_t rows, int64_t cols) {
  constexpr int64_t kScaleColumns = 128;
  RoundedRowsLayout layout = {.stride = RoundUp(cols, 16), .scale_stride = RoundUp(rows, 4)};
  const int64_t scale_bytes =
      CeilDiv(cols, kScaleColumns) * layout.scale_stride * static_cast<int64_t>(sizeof(float));
  layout.scales = rows * layout.stride;
  layout.sums = layout.scales + scale_bytes;
  layout.bytes = layout.sums + scale_bytes;
  return layout;
}

}  // namespace deeprack
