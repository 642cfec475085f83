// Products that end in SwiGLU and quantisation, against the same product in fp32 and what quantise.h says of
// it.
#include "base/e4m3.h"
#include "tests/unit/sm90/gemm_operands.h"

namespace deeprack::kernels::sm90 {
namespace {

// Everything the fused product writes; 0xff and NaN where it does not.
struct Result {
  int64_t stride, scale_stride;
  std::vector<fp8_e4m3> data;
  std::vector<float> scales, sums;
  bool operator==(const Result& other) const {
    const auto same = [](const auto& a, const auto& b) {
      return std::memcmp(a.data(), b.data(), a.size() * sizeof(a[0])) == 0;
    };
    return same(data, other.data) && same(scales, other.scales) && same(sums, other.sums);
  }
};

struct Workspace {
  Workspace(const GemmArgs& args, bool quantises)
      : config(ChooseGemm(args.weight.groups, args.weight.n, args.weight.k,
                          args.rows_per_group > 0 ? args.rows_per_group : args.x.rows, quantises)),
        partials(static_cast<size_t>(PartialBytes(config, args.weight.n, args.x.rows))),
        arrivals(std::vector<int>(
            static_cast<size_t>(ArrivalBytes(config, args.weight.n, args.x.rows)) / sizeof(int), 0)) {}
  void Run(GemmArgs args) const {
    args.partials = partials.data();
    args.arrivals = arrivals.data();
    args.blocks = kBlocks;
    args.swiglu = true;
    ASSERT_EQ(WhyNotGemm(args), nullptr);
    Gemm(args, {});
    CardWait();
    for (int count : arrivals.Read()) EXPECT_EQ(count, 0);
  }
  GemmConfig config;
  CardArray<uint8_t> partials;
  CardArray<int> arrivals;
};

Result RunFused(GemmArgs args, bool with_sums = true) {
  const int64_t cols = args.weight.n / 2, rows = args.x.rows;
  const int64_t stride = (cols + 15) / 16 * 16 + 16, scale_stride = rows + 3;
  const CardArray<fp8_e4m3> data(rows * stride);
  const CardArray<float> scales(ScaleBlocks(cols) * scale_stride), sums(scales.size());
  args.quantised = {data.data(), stride, scales.data(), scale_stride, with_sums ? sums.data() : nullptr};
  Workspace(args, true).Run(args);
  return {stride, scale_stride, data.Read(), scales.Read(), sums.Read()};
}

std::vector<float> RunApart(GemmArgs args) {
  const int64_t cols = args.weight.n / 2;
  const CardArray<float> out(args.x.rows * cols);
  args.out = {out.data(), DType::kF32, args.x.rows, cols, cols};
  Workspace(args, false).Run(args);
  return out.Read();
}

// A row of the result, bit for bit what quantising `x` gives.
void ExpectQuantised(const Result& result, int64_t row, const float* x, int64_t cols) {
  for (int64_t begin = 0; begin < cols; begin += 128) {
    const int64_t end = std::min(cols, begin + 128), block = begin / 128 * result.scale_stride + row;
    float largest = 0;
    for (int64_t c = begin; c < end; ++c) largest = std::max(largest, std::abs(x[c]));
    ASSERT_EQ(result.scales[block], largest > 0 ? largest / 448.0f : 1.0f) << begin;
    double sum = 0, size = 0;
    for (int64_t c = begin; c < end; ++c) {
      const fp8_e4m3 expected = ToE4M3(x[c] * (largest > 0 ? 448.0f / largest : 1.0f));
      ASSERT_EQ(result.data[row * result.stride + c].bits, expected.bits) << c;
      const double value = static_cast<double>(ToFloat(expected)) * static_cast<double>(result.scales[block]);
      sum += value;
      size += std::abs(value);
    }
    ASSERT_NEAR(static_cast<double>(result.sums[block]), sum, size * 1e-6);
  }
  for (int64_t c = cols; c < result.stride; ++c)
    ASSERT_EQ(result.data[row * result.stride + c].bits, 0xff) << c;
}

void ExpectUntouched(const Result& result, int64_t row, int64_t cols) {
  for (int64_t c = 0; c < result.stride; ++c) ASSERT_EQ(result.data[row * result.stride + c].bits, 0xff) << c;
  for (int64_t b = 0; b < ScaleBlocks(cols); ++b) {
    ASSERT_TRUE(std::isnan(result.scales[b * result.scale_stride + row]));
    ASSERT_TRUE(std::isnan(result.sums[b * result.scale_stride + row]));
  }
}

class GemmQuantiseTest : public ::testing::TestWithParam<DType> {
 protected:
  Operands operands() const { return {GetParam(), DType::kF8E4M3}; }
};

TEST_P(GemmQuantiseTest, IsTheProductThenQuantised) {
  Random random(1);
  // One pair of tiles and half a one; one tile alone and a bit; K in one part.
  for (const int64_t n : {384, 272, 144}) {
    const int64_t k = 256, cols = n / 2;
    const Weight weight(operands(), 1, n, k, random);
    for (int64_t m : {1, 9, 33, 70, 300}) {
      if (m == 300 && n != 272) continue;
      ASSERT_EQ(ChooseSplits(1, n, k, true), ChooseSplits(1, n, k));
      const Input x(DType::kF8E4M3, m, k, random, std::vector<bool>(m, true));
      const GemmArgs args{.weight = weight.row, .x = x.rows};
      const Result result = RunFused(args);
      const std::vector<float> expected = RunApart(args);
      for (int64_t r = 0; r < m; r += 1 + r / 16) {
        SCOPED_TRACE(testing::Message() << "n " << n << " m " << m << " row " << r);
        ExpectQuantised(result, r, expected.data() + r * cols, cols);
      }
      if (m > 9) continue;
      EXPECT_TRUE(RunFused(args) == result);
      EXPECT_TRUE(std::isnan(RunFused(args, false).sums[0]));
    }
  }
}

TEST_P(GemmQuantiseTest, MaskedGroups) {
  Random random(2);
  const int64_t n = 288, k = 128, groups = 4, group_rows = 24, cols = n / 2;
  const std::vector<int32_t> counts = {0, 24, 1, 10};
  const CardArray<int32_t> card_counts(counts);
  std::vector<bool> real(groups * group_rows);
  for (int64_t g = 0; g < groups; ++g) {
    for (int64_t r = 0; r < counts[g]; ++r) real[g * group_rows + r] = true;
  }
  const Weight weight(operands(), groups, n, k, random);
  const Input x(DType::kF8E4M3, groups * group_rows, k, random, real);
  for (const int64_t expected_rows : {6, 40, 70}) {
    const GemmArgs args{.weight = weight.row,
                        .x = x.rows,
                        .grouping = Grouping::kMasked,
                        .counts = card_counts.data(),
                        .group_rows = group_rows,
                        .rows_per_group = expected_rows};
    const Result result = RunFused(args);
    const std::vector<float> expected = RunApart(args);
    for (int64_t row = 0; row < groups * group_rows; ++row) {
      SCOPED_TRACE(testing::Message() << "row " << row << ", tile for " << expected_rows);
      if (real[row]) {
        ExpectQuantised(result, row, expected.data() + row * cols, cols);
      } else {
        ExpectUntouched(result, row, cols);
      }
    }
  }
}

// Several parts of K, side by side and one after the other.
TEST_P(GemmQuantiseTest, ARowIsTheSameAloneAndInAnyBatch) {
  Random random(3);
  const int64_t n = 400, k = 640, m = 260, cols = n / 2;
  ASSERT_GT(ChooseSplits(1, n, k, true), 1);
  const Weight weight(operands(), 1, n, k, random);
  const Input x(DType::kF8E4M3, m, k, random, std::vector<bool>(m, true));
  ASSERT_EQ(ChooseGemm(1, n, k, m, true).tokens, 128);
  const Result all = RunFused({.weight = weight.row, .x = x.rows});
  for (int64_t rows : {1, 8, 13, 32, 50}) {
    const int64_t first = (m - rows) / 4 * 4;
    const Result some = RunFused({.weight = weight.row, .x = x.From(first, rows)});
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < cols; ++c) {
        ASSERT_EQ(some.data[r * some.stride + c].bits, all.data[(first + r) * all.stride + c].bits)
            << rows << " rows, row " << r;
      }
      for (int64_t b = 0; b < ScaleBlocks(cols); ++b) {
        ASSERT_EQ(some.scales[b * some.scale_stride + r], all.scales[b * all.scale_stride + first + r]);
        ASSERT_EQ(some.sums[b * some.scale_stride + r], all.sums[b * all.scale_stride + first + r]);
      }
    }
  }
  // And what it is: within the products' error and half a step of e4m3.
  for (int64_t r = 0; r < m; r += 37) {
    std::vector<double> expected(cols);
    double largest = 0;
    for (int64_t f = 0; f < cols; ++f) {
      const double gate = Dot(x.values.data() + r * k, weight.Row(0, f / 8 * 16 + f % 8), k);
      const double up = Dot(x.values.data() + r * k, weight.Row(0, f / 8 * 16 + f % 8 + 8), k);
      expected[f] = gate / (1 + std::exp(-gate)) * up;
      largest = std::max(largest, std::abs(expected[f]));
    }
    for (int64_t f = 0; f < cols; ++f) {
      const double value = static_cast<double>(ToFloat(all.data[r * all.stride + f])) *
                           static_cast<double>(all.scales[f / 128 * all.scale_stride + r]);
      ASSERT_NEAR(value, expected[f],
                  std::abs(expected[f]) / 15 + largest * (4 * Tolerance(operands()) + 0x1p-18))
          << r << " " << f;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, GemmQuantiseTest, ::testing::Values(DType::kF8E4M3, DType::kInt4G128),
                         [](const auto& info) { return info.param == DType::kF8E4M3 ? "E4M3" : "Int4"; });

TEST(GemmQuantiseRefusalTest, SaysWhy) {
  Random random(4);
  const Weight weight({DType::kF8E4M3, DType::kF8E4M3}, 1, 32, 64, random);
  const Input x(DType::kF8E4M3, 4, 64, random, std::vector<bool>(4, true));
  const CardArray<fp8_e4m3> data(4 * 16);
  const CardArray<float> scales(4), out(4 * 16);
  const GemmArgs good{
      .weight = weight.row, .x = x.rows, .swiglu = true, .quantised = {data.data(), 16, scales.data(), 4}};
  EXPECT_EQ(WhyNotGemm(good), nullptr);
  GemmArgs args = good;
  args.swiglu = false;
  EXPECT_STREQ(WhyNotGemm(args), "a quantised output that is not SwiGLU of a product of e4m3");
  args = good;
  args.quantised.stride = 24;
  EXPECT_STREQ(WhyNotGemm(args), "the quantised output is not aligned to 16 bytes");
  args = good;
  args.out = {out.data(), DType::kF32, 4, 16, 16};
  EXPECT_STREQ(WhyNotGemm(args), "two outputs");
}

}  // namespace
}  // namespace deeprack::kernels::sm90
