// The scratch memory of a matrix product: how its rows come, and their place before the parts of its sums.
#pragma once

#include <cstddef>

#include "kernels/cuda/hopper/needs.h"
#include "kernels/cuda/hopper/scratch_cut.h"

namespace deeprack::kernels::hopper {

// Whether a product with such weights takes e4m3 rows, bf16 ones else.
constexpr bool TakesE4M3(DType weight, WeightLayout layout) {
  return weight == DType::kF8E4M3 || layout == WeightLayout::kTilesForE4M3;
}

// How the rows come that a product reads.
enum class Rows {
  kAsTheyAre,
  kGathered,   // bf16, put together here
  kQuantised,  // e4m3, rounded here
};

struct ProductScratch {
  std::byte* rows = nullptr;  // kGathered, kQuantised
  void* partials = nullptr;
};

ProductScratch CutProduct(Rows come, int64_t k, int64_t rows, int64_t partial_bytes, ScratchCut& cut);

}  // namespace deeprack::kernels::hopper
