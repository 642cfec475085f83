// Matrix products on Hopper: out[row, feature] = sum over k of x[row, k] * W[feature, k].
//
// One kernel, three weight formats:
//   fp8:  x e4m3 with an fp32 scale for each row and 128 columns, W e4m3 with scales for 8 rows and 128
//   columns. Each 128 of K
//         is summed by the tensor cores (13 to 14 bits kept) and added times both scales to an fp32 sum:
//         error against fp64 of the quantised operands 2e-3.
//   bf16: x and W bf16, summed in fp32: 1e-5.
//   int4: x bf16, W = (q - zero) * scale, group 128: the integers are exact in bf16, each 128 of K is summed
//   in fp32 and added times the
//         scale: 1e-5.
// A row's result depends on nothing but that row and W: the order of its sums is fixed by n and k
// (gemm_schedule.h). Rows of x beyond the real ones are read, whatever they hold, and harm nobody: a row is a
// column of the instruction of its own.
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
};

// Which rows of x each group of the weight multiplies.
enum class Grouping : int {
  kDense,   // one group, all rows
  kHeads,   // every group all rows: group g reads columns [g * x_group_stride, + k), writes columns [g * n, +
            // n)
  kRanges,  // group g: rows [offsets[g], offsets[g + 1]), offsets on the device
  kMasked,  // group g: rows [g * group_rows, + counts[g]), counts on the device, at most group_rows
};

struct GemmArgs {
  RowWeight weight;
  Rows x;
  Grouping grouping = Grouping::kDense;
  int64_t x_group_stride = 0;        // kHeads; times the type's size a multiple of 16
  const int32_t* offsets = nullptr;  // kRanges: [groups + 1] on the device
  const int32_t* counts = nullptr;   // kMasked: [groups] on the device
  int64_t group_rows = 0;            // kMasked
  int64_t rows_per_group = 0;        // about how many rows a group has: chooses the tile, changes no result
  Matrix out;  // kF32 or kBF16, as many rows as x; 16-byte aligned, row stride a multiple of 16 bytes
  bool swiglu =
      false;  // W is interleaved gate and up (weight.h): out[row, f] = silu(gate f) * up f, n / 2 features
  void* partials = nullptr;  // PartialBytes and ArrivalBytes of ChooseGemm(groups, n, k, rows_per_group)
  int* arrivals = nullptr;
  int blocks = 0;  // of the grid: the device's multiprocessors
};

// nullptr, or why these arguments cannot be served here.
const char* WhyNotGemm(const GemmArgs& args);
// Enqueues the product. The arguments must be servable.
void Gemm(const GemmArgs& args, const Execution& execution);

}  // namespace deeprack::kernels::sm90
