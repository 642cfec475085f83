// Activations to e4m3 with an fp32 scale for each row and 128 columns, straight into the layout that the
// products read (gemm.h).
//
// scale = largest |x| of the block / 448 (1 for a block of zeros), value = e4m3(x * (448 / largest)). One
// warp a block: rows do not know of each other. `row_count`, on the device, is the number of rows that exist:
// an operation reads and writes rows below *row_count alone. Null: all rows exist.
#pragma once

#include "kernels/api/execution.h"
#include "kernels/api/matrix.h"

namespace deeprack::kernels::sm90 {

struct QuantisedRows {
  fp8_e4m3* data = nullptr;  // [rows, stride], 16-byte aligned
  int64_t stride = 0;        // multiple of 16
  float* scales = nullptr;   // [ceil(cols / 128)][scale_stride]
  int64_t scale_stride = 0;
  float* sums = nullptr;  // where wanted (int4 weights): scale times the sum of each block's rounded values
};

// cols, strides: multiples of 4. out row r = quantised x row row_index[r] (null: r); so rows are permuted on
// the way.
struct QuantiseArgs {
  Matrix x;  // kBF16 or kF32
  const int32_t* row_index = nullptr;
  int64_t rows = 0;  // of out
  const int32_t* row_count = nullptr;
  QuantisedRows out;
};
void Quantise(const QuantiseArgs& args, const Execution& execution);

// With x: residual += x, rounded to the residual's type. normed = residual / sqrt(mean(residual^2) + eps) *
// weight goes to `normed` (where it has data) and, quantised, to out. At most 8192 columns.
inline constexpr int64_t kMaxNormWidth = 8192;
struct NormQuantiseArgs {
  Matrix x;         // kBF16 or kF32, or no data
  Matrix residual;  // kBF16 or kF32
  const float* weight = nullptr;
  float eps = 1e-6f;
  Matrix normed;      // kBF16, or no data
  QuantisedRows out;  // or no data: normed alone
};
void NormQuantise(const NormQuantiseArgs& args, const Execution& execution);

// out = quantised silu(gate) * up, gate_up = [gate | up] side by side.
struct SwiGluQuantiseArgs {
  Matrix gate_up;  // [rows, 2 * cols], kBF16 or kF32
  const int32_t* row_count = nullptr;
  QuantisedRows out;
};
void SwiGluQuantise(const SwiGluQuantiseArgs& args, const Execution& execution);

// out row r = x row row_index[r]: the permutation alone, for experts that take bf16. cols, strides: multiples
// of 8.
struct GatherArgs {
  Matrix x;  // kBF16
  const int32_t* row_index = nullptr;
  const int32_t* row_count = nullptr;
  Matrix out;  // kBF16
};
void Gather(const GatherArgs& args, const Execution& execution);

// The same for rows that are quantised already: values and scales. cols: multiple of 16.
struct GatherQuantisedArgs {
  QuantisedRows x;
  int64_t cols = 0;
  const int32_t* row_index = nullptr;
  int64_t rows = 0;  // of out
  const int32_t* row_count = nullptr;
  QuantisedRows out;
  int64_t x_scale_row = 1;  // from the scales, and sums, of a row of x to those of the next
};
void GatherQuantised(const GatherQuantisedArgs& args, const Execution& execution);

}  // namespace deeprack::kernels::sm90
