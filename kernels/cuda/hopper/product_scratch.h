// The scratch memory of a matrix product: rows that are gathered or quantised for the product, then its
// partial sums.
#pragma once

#include <cstddef>

#include "kernels/cuda/hopper/needs.h"
#include "kernels/cuda/hopper/scratch_cut.h"

namespace deeprack::kernels::hopper {

// True when a product with such weights takes e4m3 rows; false when the product takes bf16 rows.
constexpr bool TakesE4M3(DType weight, WeightLayout layout) {
  return weight == DType::kF8E4M3 || layout == WeightLayout::kTilesForE4M3;
}

// How a product gets its rows.
enum class Rows {
  kAsTheyAre,
  kGathered,   // bf16, gathered into scratch
  kQuantised,  // e4m3, quantised into scratch
};

struct ProductScratch {
  std::byte* rows = nullptr;  // kGathered, kQuantised
  void* partials = nullptr;
};

ProductScratch CutProduct(Rows come, int64_t k, int64_t rows, int64_t partial_bytes, ScratchCut& cut);

}  // namespace deeprack::kernels::hopper
