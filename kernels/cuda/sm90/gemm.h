// Matrix products on Hopper: out[row, feature] = sum over k of x[row, k] * W[feature, k].
//
// One kernel serves four formats. Their error against fp64 of the (quantised) operands:
//   fp8 (2e-3): x is e4m3 with an fp32 scale for each row and 128 columns; W is e4m3 with scales for 8 rows
//   and 128
//     columns. The tensor cores sum each 128 columns of K (13 to 14 bits kept). That sum times both scales is
//     added to an fp32 sum.
//   bf16 (1e-5): x and W are bf16, summed in fp32.
//   int4 (1e-5): x is bf16, W = (q - zero) * scale with groups of 128. The integers are exact in bf16. Each
//   128
//     columns of K are summed in fp32 and added times the scale.
//   int4 with x e4m3 (2e-3): q - 7.5 is exact in e4m3. Each 128 columns of K are summed and added as for fp8.
//   Then
//     (7.5 - zero) * scale times the fp32 sum of the 128 activations (Rows::sums) is added, so zero points
//     cost no accuracy.
// The floor of int4 with e4m3 on an H200, for 8 experts of 4096 x 7168: 130 MB (4.31 bits a weight with scale
// and zero) take 27 us. 48 rows each are 22.5 GFLOP, 11 us at the fp8 peak, so memory bounds the product. A
// lane makes its 64 operands of a step in 40 instructions, 80 issue slots of each quarter of a
// multiprocessor; the step's 8832 bytes take more than 400 clocks to arrive.
//
// A row's result depends only on that row and on W: n and k fix the order of its sums (gemm_schedule.h).
// Tiles may read rows of x beyond the last real row. These rows may hold anything: each row is a separate
// column of the instruction.
#pragma once

#include "kernels/api/execution.h"
#include "kernels/api/matrix.h"
#include "kernels/cuda/sm90/gemm_schedule.h"
#include "kernels/cuda/sm90/weight.h"

namespace deeprack::kernels::sm90 {

// Rows of activations: bf16, or e4m3 with the scales that quantise.h writes.
struct Rows {
  const void* data = nullptr;     // [rows, groups or 1, k]; 16-byte aligned
  DType type = DType::kBF16;      // kBF16 or kF8E4M3
  int64_t rows = 0;               // rows in memory
  int64_t stride = 0;             // elements from row to row; times the type's size a multiple of 16
  const float* scales = nullptr;  // kF8E4M3: [ceil(k / 128)][scale_stride]
  int64_t scale_stride = 0;       // >= rows, multiple of 4
  // For int4 weights: scale times the sum of each 128 values, in the layout of `scales`.
  const float* sums = nullptr;
};

// Which rows of x each group of the weight multiplies.
enum class Grouping : int {
  kDense,  // one group, all rows
  // All groups, all rows: group g reads columns [g * x_group_stride, g * x_group_stride + k) and writes
  // columns [g * n, (g + 1) * n).
  kHeads,
  kRanges,  // group g: rows [offsets[g], offsets[g + 1]), offsets on the device
};

struct GemmArgs {
  RowWeight weight;
  Rows x;
  Grouping grouping = Grouping::kDense;
  int64_t x_group_stride = 0;        // kHeads; times the type's size a multiple of 16
  const int32_t* offsets = nullptr;  // kRanges: [groups + 1] on the device
  int64_t rows_per_group = 0;        // an estimate of a group's rows; chooses the tile, changes no result
  Matrix out;  // kF32 or kBF16, as many rows as x; 16-byte aligned, row stride a multiple of 16 bytes
  // PartialBytes and ArrivalBytes of ChooseGemm(groups, n, k, rows_per_group).
  void* partials = nullptr;
  int* arrivals = nullptr;
  int blocks = 0;  // of the grid: the device's multiprocessors
};

// nullptr, or why this kernel cannot compute the product.
const char* WhyNotGemm(const GemmArgs& args);
// Enqueues the product. WhyNotGemm(args) must be nullptr.
void Gemm(const GemmArgs& args, const Execution& execution);

}  // namespace deeprack::kernels::sm90
