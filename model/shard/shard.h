// (tensor, layout, rank) -> the part of it that the rank holds. Pure.
#pragma once

#include <cstdint>
#include <optional>

#include "model/layout/layout.h"
#include "model/tensors/tensor_registry.h"

namespace deeprack::model {

// Rows [row_begin, row_begin + rows) x columns [col_begin, col_begin + cols) of the whole tensor; a vector is one
// column. A slice may begin or end inside an fp8 block: element (r, c) of the slice has the scale of block
// ((row_begin + r) / 128, (col_begin + c) / 128).
struct Slice {
  int64_t row_begin = 0;
  int64_t rows = 0;
  int64_t col_begin = 0;
  int64_t cols = 0;
  bool operator==(const Slice&) const = default;
};

// nullopt: the rank holds nothing of this tensor (another stage's layer, another group's expert, the embedding
// off the first stage, final norm and head off the last; MTP tensors belong to the last stage).
// Over all ranks every element is covered: by exactly the ranks that its role says.
std::optional<Slice> SliceFor(const ModelConfig& config, const TensorSpec& tensor, const Layout& layout, Rank rank);

}  // namespace deeprack::model
