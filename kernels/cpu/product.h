// One matrix product of an operation, and the functions that compute a part of the product.
#pragma once

#include "kernels/api/matrix.h"
#include "kernels/api/packed_weight.h"
#include "kernels/cpu/simd.h"

namespace deeprack::kernels::DEEPRACK_SIMD {

// Rows of x times one weight. Row r of the result starts at out + r * out_stride elements.
struct Product {
  const PackedWeight* weight;
  const void* const* x;  // [m] rows: quantised for block formats, else bf16 if in_pairs, else fp32
  bool in_pairs;
  int64_t m;
  void* out;
  int64_t out_stride;
  int64_t first_task;
};

// Stores sixteen columns of the result; columns from n on are dropped.
template <class Out>
DEEPRACK_INLINE void StoreColumns(const Product& product, int64_t row, int64_t panel, F16 value) {
  const int64_t column = panel * kPanelRows;
  StoreFirst(static_cast<Out*>(product.out) + row * product.out_stride + column, value,
             product.weight->n - column);
}

// For block formats (block_form.h). A call quantises each row of x once, to QuantizedRowBytes bytes.
int64_t QuantizedRowBytes(DType weight_type, int64_t k);
void QuantizeRow(DType weight_type, const Matrix& x, int64_t row, void* to);

// Computes panels [panel, end) of the result for rows [row, row + rows). The result is of type `out`.
void MultiplyBlocks(DType out, const Product& product, int64_t panel, int64_t end, int64_t row, int64_t rows);

}  // namespace deeprack::kernels::DEEPRACK_SIMD
