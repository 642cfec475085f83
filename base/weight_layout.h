// How the values of a weight matrix lie in memory: chosen for each one when a model is loaded, by what the
// kernels that multiply by it read (kernels/api/packed_weight.h has the layouts themselves).
#pragma once

#include <cstdint>

#include "base/dtype.h"

namespace deeprack {

enum class WeightLayout : uint8_t {
  kPanels,  // 16 rows beside each other: what every backend multiplies by
  kRows,    // row-major, as in the checkpoint: what matrix instructions copy tiles of
  // int4 in tiles of 128 x 128, in the order that products with bf16 (and fp32) activations unpack, and in
  // that for e4m3 ones.
  kTiles,
  kTilesForE4M3,
};

constexpr bool IsTiles(WeightLayout layout) {
  return layout == WeightLayout::kTiles || layout == WeightLayout::kTilesForE4M3;
}

// The types of weights that a backend's matrix products want as WeightLayout::kRows, or in tiles, where their
// sizes allow it. None: all weights are panels.
struct RowMajorTypes {
  bool bf16 = false;
  bool fp8 = false;
  // Which tiles int4 weights in groups of 128 lie in, for backends that multiply no other block formats.
  // kPanels: none.
  WeightLayout int4 = WeightLayout::kPanels;
  // With bf16: routers too, which are fp32 panels else. For checkpoints that store them as bf16: no value is
  // rounded, and products of bf16 are exact in fp32.
  bool router = false;

  constexpr bool Has(DType type) const {
    return (type == DType::kBF16 && bf16) || (type == DType::kF8E4M3 && fp8);
  }
};

}  // namespace deeprack
