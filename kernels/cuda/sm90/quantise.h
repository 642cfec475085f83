// Quantisation of activations to e4m3 with an fp32 scale for each row and 128 columns, in the layout that the
// products read (gemm.h).
//
// scale = largest |x| of the 128 columns / 448 (1 if all are zero), value = e4m3(x * (448 / largest)). A
// row's result does not depend on other rows. `row_count`, in the card's memory, is the number of rows that
// exist: an operation reads and writes only rows below *row_count. Null: all rows exist.
#pragma once

#include "kernels/api/execution.h"
#include "kernels/api/matrix.h"

namespace deeprack::kernels::sm90 {

struct QuantisedRows {
  fp8_e4m3* data = nullptr;  // [rows, stride], 16-byte aligned
  int64_t stride = 0;        // multiple of 16
  float* scales = nullptr;   // [ceil(cols / 128)][scale_stride]
  int64_t scale_stride = 0;
  float* sums = nullptr;  // or null (for int4 weights): scale times the sum of each 128 rounded values
};

// Row r of out is row row_index[r] of x, quantised; row r without an index. cols and strides are multiples
// of 4.
struct QuantiseArgs {
  Matrix x;  // kBF16 or kF32
  const int32_t* row_index = nullptr;
  int64_t rows = 0;  // rows of out
  const int32_t* row_count = nullptr;
  QuantisedRows out;
};
void Quantise(const QuantiseArgs& args, const Execution& execution);

// If x has data: residual += x, rounded to the residual's type. Then the norm, residual /
// sqrt(mean(residual^2) + eps) * weight, is written to `normed` and, quantised, to `out`, each if it has
// data. At most 8192 columns.
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

// out = silu(gate) * up, quantised; gate_up = [gate | up] side by side.
struct SwiGluQuantiseArgs {
  Matrix gate_up;  // [rows, 2 * cols], kBF16 or kF32
  const int32_t* row_count = nullptr;
  QuantisedRows out;
};
void SwiGluQuantise(const SwiGluQuantiseArgs& args, const Execution& execution);

// Row r of out is row row_index[r] of x, for experts that take bf16. cols and strides are multiples of 8.
struct GatherArgs {
  Matrix x;  // kBF16
  const int32_t* row_index = nullptr;
  const int32_t* row_count = nullptr;
  Matrix out;  // kBF16
};
void Gather(const GatherArgs& args, const Execution& execution);

// The same for quantised rows: copies values, scales and sums. cols is a multiple of 16.
struct GatherQuantisedArgs {
  QuantisedRows x;
  int64_t cols = 0;
  const int32_t* row_index = nullptr;
  int64_t rows = 0;  // rows of out
  const int32_t* row_count = nullptr;
  QuantisedRows out;
  int64_t x_scale_row = 1;  // distance of the scales, and sums, of neighbouring rows of x, in floats
};
void GatherQuantised(const GatherQuantisedArgs& args, const Execution& execution);

}  // namespace deeprack::kernels::sm90
