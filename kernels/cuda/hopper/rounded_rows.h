// Rounded rows (base/rounded_rows.h) as arguments of the kernels in kernels/cuda/sm90.
#pragma once

#include "base/rounded_rows.h"
#include "kernels/cuda/sm90/quantise.h"

namespace deeprack::kernels::hopper {

inline sm90::QuantisedRows AsQuantised(std::byte* memory, int64_t rows, int64_t cols) {
  if (memory == nullptr) return {};
  const RoundedRowsLayout layout = RoundedRowsLayoutOf(rows, cols);
  return {.data = reinterpret_cast<fp8_e4m3*>(memory),
          .stride = layout.stride,
          .scales = reinterpret_cast<float*>(memory + layout.scales),
          .scale_stride = layout.scale_stride,
          .sums = reinterpret_cast<float*>(memory + layout.sums)};
}

// Received rows of `cols` columns, `stride` bytes apart. A row's scales are contiguous; the scales of the
// next row are `stride` bytes further.
inline sm90::QuantisedRows AsReceived(const void* rows, int64_t stride, int64_t cols) {
  auto* const memory = static_cast<std::byte*>(const_cast<void*>(rows));
  const RoundedRowLayout layout = RoundedRowLayoutOf(cols);
  return {.data = reinterpret_cast<fp8_e4m3*>(memory),
          .stride = stride,
          .scales = reinterpret_cast<float*>(memory + layout.scales),
          .scale_stride = 1,
          .sums = reinterpret_cast<float*>(memory + layout.sums)};
}

}  // namespace deeprack::kernels::hopper
