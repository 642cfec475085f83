// An element of a packed weight, as a kernel reads it.
#pragma once

#include "kernels/api/packed_weight.h"
#include "kernels/cuda/plain/device.h"

namespace deeprack::kernels::plain {

// Either layout: rows are for kernels of one family of cards, and what those cannot take comes here.
template <class W>
__device__ float WeightAt(const PackedWeight& weight, int64_t n, int64_t k) {
  if (weight.layout == WeightLayout::kRows) return ToFloat(static_cast<const W*>(weight.data)[n * weight.k + k]);
  const W* panel = static_cast<const W*>(weight.data) + n / kPanelRows * (weight.k * kPanelRows);
  return ToFloat(panel[k * kPanelRows + n % kPanelRows]);
}

}  // namespace deeprack::kernels::plain
