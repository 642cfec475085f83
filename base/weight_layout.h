// Orders of a weight matrix's values in memory. Loading chooses one for each matrix, by the kernels that
// multiply by the matrix. kernels/api/packed_weight.h describes the layouts.
#pragma once

#include <cstdint>

#include "base/dtype.h"

namespace deeprack {

enum class WeightLayout : uint8_t {
  kPanels,  // 16 rows beside each other; every backend multiplies by these
  kRows,    // row-major, as in the checkpoint; matrix instructions copy tiles of these
  // int4 in tiles of 128 x 128: kTiles in the order for bf16 and fp32 activations, kTilesForE4M3 in the order
  // for e4m3 activations.
  kTiles,
  kTilesForE4M3,
};

constexpr bool IsTiles(WeightLayout layout) {
  return layout == WeightLayout::kTiles || layout == WeightLayout::kTilesForE4M3;
}

// The types of weights that a backend's matrix products read as WeightLayout::kRows or in tiles, where sizes
// and slices allow it. All other weights are panels.
struct RowMajorTypes {
  bool bf16 = false;
  bool fp8 = false;
  // The layout of int4 weights in groups of 128, for backends that multiply no other block formats. kPanels:
  // no tiles.
  WeightLayout int4 = WeightLayout::kPanels;
  // True: routers are bf16 rows, not fp32 panels. Needs `bf16`, and a checkpoint with bf16 routers: then no
  // value is rounded, and products of bf16 values are exact in fp32.
  bool router = false;

  constexpr bool Has(DType type) const {
    return (type == DType::kBF16 && bf16) || (type == DType::kF8E4M3 && fp8);
  }
};

}  // namespace deeprack
