// Products with weights in block formats.
#include "kernels/api/linear.h"

#include "tests/unit/kernels/block_weights.h"

namespace deeprack::kernels {
namespace {

constexpr DType kActivationTypes[] = {DType::kF32, DType::kBF16};

class BlockLinearTest : public KernelTest {};
DEEPRACK_INSTANTIATE_KERNEL_TEST(BlockLinearTest);

// Columns that are no multiple of what is expanded at once.
int64_t OddColumns(DType type) { return BlockElements(type) * (BlockElements(type) == 256 ? 5 : 11); }

TEST_P(BlockLinearTest, IsExactButForRoundingX) {
  Random random(21);
  for (DType weight_type : kBlockTypes) {
    const int64_t k = OddColumns(weight_type);
    const BlockTensor tensor(weight_type, 37 + 50, k + 256, random);
    for (int64_t n : {37, 48, 18}) {
      const TestWeight weight = tensor.Packed(weight_type, 16, n, 256, k),
                       wide = tensor.Packed(DType::kF32, 16, n, 256, k);
      for (int64_t m : {1, 2, 3, 5, 7, 8, 9, 17, 70}) {
        const DType type = kActivationTypes[m % 2];
        const TestMatrix x = TestMatrix::Normal(type, m, k, random), rounded = Int8Rounded(x, weight_type);
        TestMatrix out(type, m, n), expected(DType::kF32, m, n);
        kernels().linear({x.view(), weight.packed(), out.view()}, execution());
        reference::Linear({rounded.view(), wide.packed(), expected.view()});
        SCOPED_TRACE(testing::Message() << Name(weight_type) << " m " << m << " n " << n);
        ExpectClose(out, expected, 1e-5);
      }
    }
  }
}

TEST_P(BlockLinearTest, RoundingXCostsWhatTheHeaderSays) {
  Random random(22);
  for (DType weight_type : kBlockTypes) {
    const int64_t k = 4 * 256, n = 256, m = 4;
    const BlockTensor tensor(weight_type, n, k, random);
    const TestWeight weight = tensor.Packed(weight_type), wide = tensor.Packed(DType::kF32);
    const TestMatrix x = TestMatrix::Normal(DType::kF32, m, k, random);
    TestMatrix out(DType::kF32, m, n), expected(DType::kF32, m, n);
    kernels().linear({x.view(), weight.packed(), out.view()}, execution());
    reference::Linear({x.view(), wide.packed(), expected.view()});
    double error = 0, size = 0;
    for (int64_t r = 0; r < m; ++r) {
      for (int64_t c = 0; c < n; ++c) {
        error += std::pow(out.at(r, c) - expected.at(r, c), 2);
        size += std::pow(expected.at(r, c), 2);
      }
    }
    EXPECT_LT(std::sqrt(error / size), 0.008) << Name(weight_type);
    EXPECT_GT(std::sqrt(error / size), 0.001) << Name(weight_type);  // or x was not rounded
  }
}

TEST_P(BlockLinearTest, SumsDoNotSaturate) {
  // Values, integer scales and minima all ones or all zeros, against x of one sign.
  Random random(23);
  for (DType weight_type : kBlockTypes) {
    const int64_t k = 512, n = 16;
    for (int fill : {0x00, 0xff, 0x80, 0x7f}) {
      const BlockTensor tensor(weight_type, n, k, random, fill);
      const TestWeight weight = tensor.Packed(weight_type), wide = tensor.Packed(DType::kF32);
      for (double value : {1.0, -1.0}) {
        for (int64_t m : {1, 9}) {
          TestMatrix x(DType::kF32, m, k), out(DType::kF32, m, n), expected(DType::kF32, m, n);
          for (int64_t i = 0; i < m * k; ++i) reference::Set(x.view(), i / k, i % k, value);
          kernels().linear({x.view(), weight.packed(), out.view()}, {});
          reference::Linear({x.view(), wide.packed(), expected.view()});
          SCOPED_TRACE(testing::Message() << Name(weight_type) << " fill " << fill << " x " << value);
          ExpectClose(out, expected, 1e-5);
        }
      }
    }
  }
}

TEST_P(BlockLinearTest, RowIsTheSameAloneAndInAnyBatch) {
  Random random(24);
  const int64_t m = 131, n = 52;
  for (DType weight_type : kBlockTypes) {
    const int64_t k = OddColumns(weight_type);
    const TestWeight weight = BlockTensor(weight_type, n, k, random).Packed(weight_type);
    const TestMatrix x = TestMatrix::Normal(DType::kBF16, m, k, random);
    TestMatrix all(DType::kF32, m, n);
    kernels().linear({x.view(), weight.packed(), all.view()}, execution());
    for (int64_t rows : {1, 2, 3, 4, 5, 6, 7, 8, 9, 64, 65}) {
      TestMatrix out(DType::kF32, rows, n);
      const int64_t first = m - rows - 3;
      kernels().linear({x.Rows(first, rows), weight.packed(), out.view()}, {});
      for (int64_t r = 0; r < rows; ++r)
        ASSERT_EQ(out.RowBytes(r), all.RowBytes(first + r))
            << r << " of " << rows << " " << Name(weight_type);
    }
  }
}

TEST_P(BlockLinearTest, BackendsGiveTheSameBits) {
  Random random(25);
  for (DType weight_type : kBlockTypes) {
    const int64_t k = OddColumns(weight_type), n = 33;
    const TestWeight weight = BlockTensor(weight_type, n, k, random).Packed(weight_type);
    for (int64_t m : {1, 8, 20}) {
      for (DType type : kActivationTypes) {
        const TestMatrix x = TestMatrix::Normal(type, m, k, random);
        TestMatrix out(type, m, n), generic(type, m, n);
        kernels().linear({x.view(), weight.packed(), out.view()}, execution());
        AvailableCpuKernels().front()->linear({x.view(), weight.packed(), generic.view()}, execution());
        EXPECT_EQ(out.AllBytes(), generic.AllBytes()) << Name(weight_type) << " m " << m;
      }
    }
  }
}

TEST_P(BlockLinearTest, NotANumberStaysInItsRow) {
  Random random(26);
  for (DType weight_type : kBlockTypes) {
    const int64_t k = 256, n = 20, m = 12;
    const TestWeight weight = BlockTensor(weight_type, n, k, random).Packed(weight_type);
    TestMatrix x = TestMatrix::Normal(DType::kF32, m, k, random);
    for (int64_t c = 0; c < k; ++c) reference::Set(x.view(), 7, c, 0.0);
    TestMatrix clean(DType::kF32, m, n), out(DType::kF32, m, n);
    kernels().linear({x.view(), weight.packed(), clean.view()}, {});
    for (int64_t c = 0; c < n; ++c) EXPECT_EQ(clean.at(7, c), 0.0);
    reference::Set(x.view(), 3, 100, std::numeric_limits<double>::quiet_NaN());
    reference::Set(x.view(), 9, 33, -std::numeric_limits<double>::infinity());
    kernels().linear({x.view(), weight.packed(), out.view()}, {});
    for (int64_t r = 0; r < m; ++r) {
      if (r != 3 && r != 9) {
        EXPECT_EQ(out.RowBytes(r), clean.RowBytes(r)) << Name(weight_type) << " row " << r;
      } else {
        for (int64_t c = 0; c < n; ++c) EXPECT_TRUE(std::isnan(out.at(r, c))) << Name(weight_type);
      }
    }
  }
}

TEST_P(BlockLinearTest, GroupedRowsAreThoseOfLinear) {
  Random random(27);
  const int64_t tokens = 30, n = 48, experts = 6, grouped = 37;
  const std::vector<int32_t> offsets = {0, 1, 1, 4, 30, 30, 37};
  std::vector<int32_t> row_index(grouped);
  for (int32_t& row : row_index) row = static_cast<int32_t>(random() % tokens);
  for (DType weight_type : kBlockTypes) {
    const int64_t k = OddColumns(weight_type);
    std::vector<TestWeight> storage;
    std::vector<PackedWeight> weights;
    for (int64_t e = 0; e < experts; ++e)
      storage.push_back(BlockTensor(weight_type, n, k, random).Packed(weight_type));
    for (const TestWeight& weight : storage) weights.push_back(weight.packed());
    const TestMatrix x = TestMatrix::Normal(DType::kBF16, tokens, k, random);
    TestMatrix out(DType::kF32, grouped, n);
    kernels().grouped_linear(
        {x.view(), row_index.data(), offsets.data(), weights.data(), experts, out.view()}, execution());
    for (int64_t e = 0; e < experts; ++e) {
      for (int64_t r = offsets[e]; r < offsets[e + 1]; ++r) {
        TestMatrix alone(DType::kF32, 1, n);
        kernels().linear({x.Rows(row_index[r], 1), weights[e], alone.view()}, {});
        ASSERT_EQ(alone.RowBytes(0), out.RowBytes(r)) << Name(weight_type) << " grouped row " << r;
      }
    }
  }
}

}  // namespace
}  // namespace deeprack::kernels
