// model/budget and kernels/ may not include each other, but must agree about a packed matrix to the byte.
#include "base/block_formats.h"
#include "gtest/gtest.h"
#include "kernels/api/packed_weight.h"
#include "model/budget/budget.h"
#include "model/budget/packed_tensors.h"
#include "tests/unit/model/r1_config.h"

namespace deeprack::model {
namespace {

static_assert(kPanelRows == kernels::kPanelRows);

TEST(PackedGeometryTest, BudgetAndKernelsAgreeOnAnySize) {
  for (DType type : {DType::kF32, DType::kBF16, DType::kF8E4M3}) {
    for (int64_t rows = 1; rows < 70; rows += 3) {
      for (int64_t cols = 1; cols < 600; cols += 31) {
        EXPECT_EQ(PackedValueBytes(type, rows, cols), kernels::PackedValueBytes(type, rows, cols));
        for (int64_t begin : {0, 1, 43, 127, 128, 200, 1023}) {
          EXPECT_EQ(PackedScaleBytes(type, rows, cols, begin),
                    kernels::PackedScaleBytes(type, rows, cols, begin))
              << rows << " x " << cols << " from " << begin;
        }
      }
    }
  }
}

TEST(PackedGeometryTest, BudgetAndKernelsAgreeOnBlockFormats) {
  for (DType type : {DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ8_0, DType::kQ2K,
                     DType::kQ3K, DType::kQ4K, DType::kQ5K, DType::kQ6K, DType::kInt4G128, DType::kInt8G128}) {
    for (int64_t rows = 1; rows < 70; rows += 3) {
      for (int64_t blocks = 1; blocks < 7; ++blocks) {
        const int64_t cols = blocks * BlockElements(type);
        EXPECT_EQ(PackedValueBytes(type, rows, cols), kernels::PackedValueBytes(type, rows, cols));
        EXPECT_EQ(PackedScaleBytes(type, rows, cols, cols), 0);
      }
    }
  }
}

TEST(PackedGeometryTest, BudgetAndKernelsAgreeOnR1) {
  for (Rank rank : {0, 5, 15}) {
    for (const PackedTensor& tensor :
         PackedTensorsOf(R1(), Layout{.tp = 8, .dp = 2, .ep = 8}, rank, DType::kBF16)) {
      if (tensor.form == WeightForm::kVector || tensor.form == WeightForm::kTable) continue;
      EXPECT_EQ(tensor.value_bytes, kernels::PackedValueBytes(tensor.type, tensor.rows, tensor.cols));
      EXPECT_EQ(tensor.scale_bytes,
                kernels::PackedScaleBytes(tensor.type, tensor.rows, tensor.cols, tensor.col_begin));
    }
  }
}

}  // namespace
}  // namespace deeprack::model
