// Matrix products with packed weights: out[m, n] = sum over k of x[m, k] * W[n, k].
// Sums run in fp32, k ascending (in pairs of k for bf16 x on processors that multiply pairs), and never
// depend on how many rows x has: a row's result is bitwise the same alone and in any batch. Relative error
// against fp64: 1e-5 for fp32 x and out; out rounded once to its type.
//
// Weights in block formats: x is rounded to int8, with a scale for every 32 columns (formats of 32 elements),
// 256 (Q4_K, Q5_K) or 128 (all others): scale = absmax / 127, so that an element is off by at most absmax /
// 254 of its columns. A product with that x~ is exact in integers within those columns and fp32 across them:
// 1e-5 from x~ W^T in fp64. For normally distributed x the rounding is 0.5% (32) or 0.6% (128, 256) of the
// result in the mean square. Columns whose absmax is below 1e-30 count as zeros; with infinities or NaN among
// them the row's results are NaN. The multiplying tables agree bit for bit. HeadLinear takes no block
// formats.
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
  // x once more, as whoever made it rounded it (norm.h): products that would round x themselves read this.
  const std::byte* rounded = nullptr;
};

// One product per head: out[m, h, :] = W_h x[m, h, :]. For absorbing kv_b into queries and outputs.
struct HeadLinearArgs {
  Matrix x;                   // [m, heads * x_head_stride]; head h reads k values at column h * x_head_stride
  int64_t x_head_stride = 0;  // >= k (q_nope sits beside q_rope)
  const PackedWeight* weights = nullptr;  // [heads], each [n, k], alike in type and shape; read by the host
  int64_t heads = 0;
  Matrix out;  // [m, heads * n]
  // The weights where the kernels run, when that is not the host's memory. Null: `weights` is read there too.
  const PackedWeight* device_weights = nullptr;
};

// Experts: grouped row r in [offsets[e], offsets[e+1]) is multiplied by weights[e].
struct GroupedLinearArgs {
  // By index, and with weights that KernelSet::dispatches_rounded holds for, also kF8E4M3: rows as they
  // travelled, RoundedRowLayoutOf(k), `stride` bytes apart.
  Matrix x;
  const int32_t* row_index = nullptr;     // grouped row -> row of x; null: grouped row r is row r of x
  const int32_t* offsets = nullptr;       // [experts + 1], ascending, offsets[0] = 0
  const PackedWeight* weights = nullptr;  // [experts], each [n, k], alike in type and shape; read by the host
  int64_t experts = 0;
  Matrix out;  // [at least offsets[experts], n]; what follows the last is left alone
  const PackedWeight* device_weights = nullptr;  // as in HeadLinearArgs
  // About how many grouped rows there will be, as only the device knows the number: may choose how work is
  // cut, changes no result. 0: all that out has.
  int64_t expected_rows = 0;
};

}  // namespace deeprack::kernels
