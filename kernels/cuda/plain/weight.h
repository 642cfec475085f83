// Reads an element of a packed weight.
#pragma once

#include "kernels/api/packed_weight.h"
#include "kernels/cuda/plain/device.h"

namespace deeprack::kernels::plain {

// For panels and rows: the plain kernels also multiply by row-major weights that the special kernels cannot
// take.
template <class W>
__device__ float WeightAt(const PackedWeight& weight, int64_t n, int64_t k) {
  if (weight.layout == WeightLayout::kRows)
    return ToFloat(static_cast<const W*>(weight.data)[n * weight.k + k]);
  const W* panel = static_cast<const W*>(weight.data) + n / kPanelRows * (weight.k * kPanelRows);
  return ToFloat(panel[k * kPanelRows + n % kPanelRows]);
}

}  // namespace deeprack::kernels::plain
