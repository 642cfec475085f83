// Matrix products with packed weights: out[m, n] = sum over k of x[m, k] * W[n, k].
// Sums run in fp32, k ascending (in pairs of k for bf16 x on processors that multiply pairs). A sum does not
// depend on how many rows x has: a row's result is bitwise the same alone and in any batch. Relative error
// against fp64: 1e-5 for fp32 x and out. out is rounded once to its type.
//
// Weights in block formats: x is rounded to int8. One scale, absmax / 127, serves 32 columns (formats of 32
// elements), 256 columns (Q4_K, Q5_K) or 128 columns (all others). So an element is off by at most absmax /
// 254. A product with the rounded x is exact in integers within these columns and in fp32 across them: 1e-5
// from the fp64 product of the rounded x. For normally distributed x the rounding is 0.5% (32 columns) or
// 0.6% (128, 256) of the result in the mean square. Columns whose absmax is below 1e-30 count as zeros.
// Columns with an infinity or NaN make the row's results NaN. All sets that multiply by block formats agree
// bit for bit. HeadLinear takes no block formats.
#pragma once

#include <cstddef>

#include "base/rounded_rows.h"
#include "kernels/api/matrix.h"
#include "kernels/api/packed_weight.h"

namespace deeprack::kernels {

struct LinearArgs {
  Matrix x;             // [m, k]
  PackedWeight weight;  // [n, k]
  Matrix out;           // [m, n]
  // x rounded to e4m3 by the operation that made x (RmsNormArgs::rounded). Products that round x read this
  // instead. Null: the product rounds x.
  const std::byte* rounded = nullptr;
};

// One product per head: out[m, h, :] = W_h x[m, h, :]. Absorbs kv_b into queries and outputs.
struct HeadLinearArgs {
  Matrix x;                   // [m, heads * x_head_stride]; head h reads k values at column h * x_head_stride
  int64_t x_head_stride = 0;  // >= k, since q_rope lies beside q_nope
  const PackedWeight* weights =
      nullptr;  // [heads], each [n, k], all of one type and shape; the host reads it
  int64_t heads = 0;
  Matrix out;  // [m, heads * n]
  // The same array in memory of the device. Null: the device reads `weights`.
  const PackedWeight* device_weights = nullptr;
};

// Experts: grouped row r in [offsets[e], offsets[e+1]) is multiplied by weights[e].
struct GroupedLinearArgs {
  // With row_index and weights for which KernelNeeds::dispatches_rounded is true, also kF8E4M3: received rows
  // in the layout RoundedRowLayoutOf(k), `stride` bytes apart.
  Matrix x;
  const int32_t* row_index = nullptr;  // grouped row -> row of x; null: the same row
  const int32_t* offsets = nullptr;    // [experts + 1], ascending, offsets[0] = 0
  const PackedWeight* weights =
      nullptr;  // [experts], each [n, k], all of one type and shape; the host reads it
  int64_t experts = 0;
  Matrix out;  // [>= offsets[experts], n]; rows from offsets[experts] on are not written
  const PackedWeight* device_weights = nullptr;  // as in HeadLinearArgs
  // An estimate of offsets[experts], which only the device knows. The estimate may change how work is cut and
  // changes no result. 0: out.rows.
  int64_t expected_rows = 0;
};

}  // namespace deeprack::kernels
