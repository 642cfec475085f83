// Matrix products on Hopper: out[row, feature] = sum over k of x[row, k] * W[feature, k].
//
// One kernel, four formats, with their error against fp64 of the (quantised) operands:
//   fp8 (2e-3): x e4m3 with an fp32 scale for each row and 128 columns, W e4m3 with scales for 8 rows and 128
//     columns. Each 128 of K is summed by the tensor cores (13 to 14 bits kept) and added times both scales
//     to an fp32 sum.
//   bf16 (1e-5): x and W bf16, summed in fp32.
//   int4 (1e-5): x bf16, W = (q - zero) * scale, group 128. The integers are exact in bf16; each 128 of K is
//     summed in fp32 and added times the scale.
//   int4 with x e4m3 (2e-3): q - 7.5 is exact in e4m3. Each 128 of K is summed and added as for fp8, and with
//     it (7.5 - zero) * scale times the sum of the 128 activations, which whoever quantised them has added up
//     in fp32: zero points cost no accuracy. Floor of 8 experts of 4096 x 7168 on H200: 130 MB (4.31 bits a
//     weight with scale and zero), 27 us; 48 rows each are 22.5 GFLOP, 11 us of its fp8 peak, so bytes
//     decide. A lane makes its 64 operands of a step in 40 instructions, 80 issue slots of each quarter of a
//     processor, and the step's 8832 bytes take more than 400 clocks to arrive.
// A row's result depends on nothing but that row
// and W: the order of its sums is fixed by n and k (gemm_schedule.h). Rows of x beyond the real ones are
// read, whatever they hold, and harm nobody: a row is a column of the instruction of its own.
#pragma once

#include "kernels/api/execution.h"
#include "kernels/api/matrix.h"
#include "kernels/cuda/sm90/gemm_schedule.h"
#include "kernels/cuda/sm90/weight.h"

namespace deeprack::kernels::sm90 {

// Rows of activations as the products read them: bf16, or e4m3 with scales as quantise.h writes them.
struct Rows {
  const void* data = nullptr;     // [rows, groups or 1, k]; 16-byte aligned
  DType type = DType::kBF16;      // kBF16 or kF8E4M3
  int64_t rows = 0;               // that exist in memory
  int64_t stride = 0;             // elements from row to row; times the type's size a multiple of 16
  const float* scales = nullptr;  // kF8E4M3: [ceil(k / 128)][scale_stride]
  int64_t scale_stride = 0;       // >= rows, multiple of 4
  const float* sums = nullptr;  // for int4 weights: scale times the sum of each 128 values, as the scales lie
};

// Which rows of x each group of the weight multiplies.
enum class Grouping : int {
  kDense,   // one group, all rows
  kHeads,   // every group all rows: group g reads columns [g * x_group_stride, + k), writes columns [g * n, +
            // n)
  kRanges,  // group g: rows [offsets[g], offsets[g + 1]), offsets on the device
};

struct GemmArgs {
  RowWeight weight;
  Rows x;
  Grouping grouping = Grouping::kDense;
  int64_t x_group_stride = 0;        // kHeads; times the type's size a multiple of 16
  const int32_t* offsets = nullptr;  // kRanges: [groups + 1] on the device
  int64_t rows_per_group = 0;        // about how many rows a group has: chooses the tile, changes no result
  Matrix out;  // kF32 or kBF16, as many rows as x; 16-byte aligned, row stride a multiple of 16 bytes
  // PartialBytes and ArrivalBytes of ChooseGemm(groups, n, k, rows_per_group).
  void* partials = nullptr;
  int* arrivals = nullptr;
  int blocks = 0;  // of the grid: the device's multiprocessors
};

// nullptr, or why these arguments cannot be served here.
const char* WhyNotGemm(const GemmArgs& args);
// Enqueues the product. The arguments must be servable.
void Gemm(const GemmArgs& args, const Execution& execution);

}  // namespace deeprack::kernels::sm90
