#include "kernels/api/linear.h"

#include "tests/unit/kernels/weights.h"

namespace deeprack::kernels {
namespace {

constexpr DType kWeightTypes[] = {DType::kF32, DType::kBF16, DType::kF8E4M3};
constexpr DType kActivationTypes[] = {DType::kF32, DType::kBF16};
constexpr double kTolerance = 1e-5;

class LinearTest : public KernelTest {};
DEEPRACK_INSTANTIATE_KERNEL_TEST(LinearTest);

TEST_P(LinearTest, AgreesWithReference) {
  Random random(11);
  struct Shape {
    int64_t m, n, k, col_begin;
  };
  for (const Shape& shape :
       {Shape{1, 576, 256, 0}, Shape{3, 37, 129, 0}, Shape{5, 64, 300, 77}, Shape{17, 100, 127, 200},
        Shape{200, 33, 70, 100}, Shape{2, 1, 1, 0}, Shape{7, 16, 512, 64}}) {
    for (DType weight_type : kWeightTypes) {
      const TestWeight weight = TestWeight::Make(weight_type, shape.n, shape.k, random, 90, shape.col_begin);
      for (DType type : kActivationTypes) {
        const TestMatrix x = TestMatrix::Normal(type, shape.m, shape.k, random);
        TestMatrix out(type, shape.m, shape.n), expected(DType::kF32, shape.m, shape.n);
        kernels().linear({x.view(), weight.packed(), out.view()}, execution());
        reference::Linear({x.view(), weight.packed(), expected.view()});
        SCOPED_TRACE(testing::Message()
                     << "m " << shape.m << " n " << shape.n << " k " << shape.k << " first column "
                     << shape.col_begin << " weight " << Name(weight_type) << " x " << Name(type));
        ExpectClose(out, expected, kTolerance);
      }
    }
  }
}

TEST_P(LinearTest, WidensBf16InputsToFloatOutputs) {
  Random random(12);
  const TestWeight weight = TestWeight::Make(DType::kBF16, 50, 90, random);
  const TestMatrix x = TestMatrix::Normal(DType::kBF16, 9, 90, random);
  TestMatrix out(DType::kF32, 9, 50), expected(DType::kF32, 9, 50);
  kernels().linear({x.view(), weight.packed(), out.view()}, execution());
  reference::Linear({x.view(), weight.packed(), expected.view()});
  ExpectClose(out, expected, kTolerance);
}

TEST_P(LinearTest, RowIsTheSameAloneAndInAnyBatch) {
  Random random(13);
  const int64_t m = 211, n = 130, k = 333;
  for (DType weight_type : kWeightTypes) {
    const TestWeight weight = TestWeight::Make(weight_type, n, k, random, 0, 45);
    for (DType type : kActivationTypes) {
      const TestMatrix x = TestMatrix::Normal(type, m, k, random);
      TestMatrix all(type, m, n);
      kernels().linear({x.view(), weight.packed(), all.view()}, execution());
      for (int64_t rows : {1, 2, 3, 4, 5, 6, 7, 13, 64}) {
        TestMatrix out(type, rows, n);
        const int64_t first = m - rows - 3;
        kernels().linear({x.Rows(first, rows), weight.packed(), out.view()}, {});
        for (int64_t r = 0; r < rows; ++r) {
          ASSERT_EQ(out.RowBytes(r), all.RowBytes(first + r))
              << "row " << r << " of " << rows << ", weight " << Name(weight_type) << ", x " << Name(type);
        }
      }
    }
  }
}

TEST_P(LinearTest, EveryFp8ValueIsExact) {
  // An identity times every byte: subnormals, both zeros, the largest values and NaN, in both code paths.
  for (int64_t m : {1, 8, 20}) {
    const int64_t k = 256;
    TestWeight weight(DType::kF8E4M3, 16, k);
    uint8_t* values = static_cast<uint8_t*>(weight.values());
    for (int64_t i = 0; i < 16 * k; ++i) values[i] = static_cast<uint8_t>(i / 16);
    for (int64_t i = 0; i < 32; ++i) weight.ScaleData()[i] = 1.0f;
    for (int64_t column = 0; column < k; ++column) {
      const bool nan = (column & 0x7f) == 0x7f;
      if (nan) continue;
      // A NaN weight poisons every sum that it is part of, so its columns are left out of the product.
      TestWeight clean(DType::kF8E4M3, 16, k);
      std::memcpy(clean.values(), values, 16 * k);
      for (int64_t lane = 0; lane < 16; ++lane) {
        static_cast<uint8_t*>(clean.values())[127 * 16 + lane] = 0;
        static_cast<uint8_t*>(clean.values())[255 * 16 + lane] = 0;
      }
      for (int64_t i = 0; i < 32; ++i) clean.ScaleData()[i] = 1.0f;
      for (DType type : kActivationTypes) {
        TestMatrix x(type, m, k), out(DType::kF32, m, 16);
        for (int64_t r = 0; r < m; ++r) {
          for (int64_t c = 0; c < k; ++c) reference::Set(x.view(), r, c, c == column ? 1.0 : 0.0);
        }
        kernels().linear({x.view(), clean.packed(), out.view()}, {});
        for (int64_t r = 0; r < m; ++r) {
          ASSERT_EQ(out.at(r, 3), static_cast<double>(ToFloat(fp8_e4m3{static_cast<uint8_t>(column)})))
              << column << ", x " << Name(type);
        }
      }
    }
    TestMatrix x(DType::kF32, m, k), out(DType::kF32, m, 16);
    for (int64_t r = 0; r < m; ++r) {
      for (int64_t c = 0; c < k; ++c) reference::Set(x.view(), r, c, 1.0);
    }
    kernels().linear({x.view(), weight.packed(), out.view()}, {});
    EXPECT_TRUE(std::isnan(out.at(0, 5)));
  }
}

TEST_P(LinearTest, BackendsGiveTheSameBits) {
  Random random(14);
  for (DType weight_type : kWeightTypes) {
    const TestWeight weight = TestWeight::Make(weight_type, 70, 290, random, 0, 33);
    for (int64_t m : {1, 3, 20}) {
      const TestMatrix x = TestMatrix::Normal(DType::kF32, m, 290, random);
      TestMatrix out(DType::kF32, m, 70), generic(DType::kF32, m, 70);
      kernels().linear({x.view(), weight.packed(), out.view()}, execution());
      AvailableCpuKernels().front()->linear({x.view(), weight.packed(), generic.view()}, execution());
      EXPECT_EQ(out.AllBytes(), generic.AllBytes()) << Name(weight_type) << " m " << m;
    }
  }
}

TEST_P(LinearTest, NoRowsIsNoWork) {
  Random random(15);
  const TestWeight weight = TestWeight::Make(DType::kF32, 8, 8, random);
  const TestMatrix x(DType::kF32, 0, 8), out(DType::kF32, 0, 8);
  kernels().linear({x.view(), weight.packed(), out.view()}, execution());
  EXPECT_TRUE(out.PaddingIntact());
}

TEST_P(LinearTest, HeadsReadTheirOwnColumns) {
  Random random(16);
  const int64_t heads = 5, stride = 50, k = 33, n = 40;
  for (DType weight_type : kWeightTypes) {
    std::vector<TestWeight> storage;
    std::vector<PackedWeight> weights;
    for (int64_t h = 0; h < heads; ++h)
      storage.push_back(TestWeight::Make(weight_type, n, k, random, h * n % 128, 100));
    for (const TestWeight& weight : storage) weights.push_back(weight.packed());
    for (DType type : kActivationTypes) {
      for (int64_t m : {1, 6, 23}) {
        TestMatrix x = TestMatrix::Normal(type, m, heads * stride, random);
        for (int64_t r = 0; r < m; ++r) {  // between a head's values and the next head: poison
          for (int64_t c = 0; c < heads * stride; ++c) {
            if (c % stride >= k) reference::Set(x.view(), r, c, std::numeric_limits<double>::quiet_NaN());
          }
        }
        TestMatrix out(type, m, heads * n), expected(DType::kF32, m, heads * n), first(type, 1, heads * n);
        kernels().head_linear({x.view(), stride, weights.data(), heads, out.view()}, execution());
        reference::HeadLinear({x.view(), stride, weights.data(), heads, expected.view()});
        ExpectClose(out, expected, kTolerance);
        kernels().head_linear({x.Rows(m - 1, 1), stride, weights.data(), heads, first.view()}, {});
        EXPECT_EQ(first.RowBytes(0), out.RowBytes(m - 1));
      }
    }
  }
}

class GroupedLinearTest : public KernelTest {};
DEEPRACK_INSTANTIATE_KERNEL_TEST(GroupedLinearTest);

TEST_P(GroupedLinearTest, AgreesWithReferenceAndWithOneRowAtATime) {
  Random random(17);
  const int64_t tokens = 40, n = 48, k = 140;
  const std::vector<int32_t> offsets = {0, 1, 1, 4, 30, 30, 37};
  const int64_t experts = 6, grouped = 37;
  std::vector<int32_t> row_index(grouped);
  for (int32_t& row : row_index) row = static_cast<int32_t>(random() % tokens);
  for (DType weight_type : kWeightTypes) {
    std::vector<TestWeight> storage;
    std::vector<PackedWeight> weights;
    for (int64_t e = 0; e < experts; ++e) storage.push_back(TestWeight::Make(weight_type, n, k, random));
    for (const TestWeight& weight : storage) weights.push_back(weight.packed());
    for (DType type : kActivationTypes) {
      for (const int32_t* index :
           {static_cast<const int32_t*>(row_index.data()), static_cast<const int32_t*>(nullptr)}) {
        const TestMatrix x = TestMatrix::Normal(type, tokens, k, random);
        TestMatrix out(type, grouped, n), expected(DType::kF32, grouped, n);
        kernels().grouped_linear({x.view(), index, offsets.data(), weights.data(), experts, out.view()},
                                 execution());
        reference::GroupedLinear({x.view(), index, offsets.data(), weights.data(), experts, expected.view()});
        ExpectClose(out, expected, kTolerance);
        for (int64_t e = 0; e < experts; ++e) {
          for (int64_t r = offsets[e]; r < offsets[e + 1]; ++r) {
            TestMatrix alone(type, 1, n);
            kernels().linear({x.Rows(index != nullptr ? index[r] : r, 1), weights[e], alone.view()}, {});
            ASSERT_EQ(alone.RowBytes(0), out.RowBytes(r)) << "grouped row " << r;
          }
        }
      }
    }
  }
}

TEST_P(GroupedLinearTest, NoRowsIsNoWork) {
  const std::vector<int32_t> offsets = {0, 0, 0};
  const PackedWeight weights[2] = {};
  const TestMatrix x(DType::kF32, 0, 8), out(DType::kF32, 0, 8);
  kernels().grouped_linear({x.view(), nullptr, offsets.data(), weights, 2, out.view()}, execution());
  EXPECT_TRUE(out.PaddingIntact());
}

}  // namespace
}  // namespace deeprack::kernels
