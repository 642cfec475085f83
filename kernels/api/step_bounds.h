// The largest operations of a model's steps. A backend computes the size of its scratch memory from these.
#pragma once

#include <cstdint>
#include <vector>

#include "base/dtype.h"
#include "base/weight_layout.h"
#include "kernels/api/attention.h"
#include "kernels/api/expanded_attention.h"

namespace deeprack::kernels {

// Products with a weight of `groups` matrices (experts, heads) of [n, k].
struct ProductBound {
  DType type = DType::kBF16;
  WeightLayout layout = WeightLayout::kPanels;
  int64_t groups = 1;
  int64_t n = 0;
  int64_t k = 0;
  int64_t rows = 0;  // the most rows of x, in all groups together

  bool operator==(const ProductBound&) const = default;
};

struct StepBounds {
  std::vector<ProductBound> products;
  MlaShape attention;       // heads = 0: no latent attention
  ExpandedShape expanded;   // heads = 0: no expanded attention
  int multiprocessors = 0;  // Execution's
};

// Bytes of Execution::scratch: counters, which are zero before the first operation, and data.
struct ScratchBytes {
  int64_t counters = 0;
  int64_t data = 0;
};

}  // namespace deeprack::kernels
