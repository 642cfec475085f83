#include "kernels/cuda/sm90/gemm.h"

#include "tests/unit/sm90/gemm_operands.h"

namespace deeprack::kernels::sm90 {
namespace {

// Runs the product with its workspaces; returns out as bits, [capacity][out_stride], NaN where nothing was
// written.
template <class T>
std::vector<T> RunGemm(GemmArgs args, int64_t out_columns, int64_t& out_stride) {
  out_stride = out_columns + 16;
  const CardArray<T> out(args.x.rows * out_stride);
  args.out = {out.data(), sizeof(T) == 2 ? DType::kBF16 : DType::kF32, args.x.rows, out_columns, out_stride};
  const int64_t rows = args.rows_per_group > 0 ? args.rows_per_group : args.x.rows;
  const GemmConfig config = ChooseGemm(args.weight.groups, args.weight.n, args.weight.k, rows);
  const CardArray<uint8_t> partials(static_cast<size_t>(PartialBytes(config, args.weight.n, args.x.rows)));
  const CardArray<int> arrivals(std::vector<int>(
      static_cast<size_t>(ArrivalBytes(config, args.weight.n, args.x.rows)) / sizeof(int), 0));
  args.partials = partials.data();
  args.arrivals = arrivals.data();
  args.blocks = kBlocks;
  EXPECT_EQ(WhyNotGemm(args), nullptr);
  Gemm(args, {});
  CardWait();
  for (int count : arrivals.Read()) EXPECT_EQ(count, 0);
  return out.Read();
}

bool IsNaN(bf16 value) { return value.bits == 0xffff; }

class GemmTest : public ::testing::TestWithParam<Operands> {};

TEST_P(GemmTest, DenseAgreesWithReference) {
  Random random(1);
  // One part of K; three of them (n, k as ChooseSplits says); a tail in n.
  for (const auto& [n, k] : {std::pair<int64_t, int64_t>{272, 256}, {144, 640}}) {
    const Weight weight(GetParam(), 1, n, k, random);
    for (int64_t m : {1, 9, 33, 70}) {
      const Input x(GetParam().x, m, k, random, std::vector<bool>(m, true));
      int64_t stride = 0;
      const std::vector<float> out = RunGemm<float>({.weight = weight.row, .x = x.rows}, n, stride);
      const std::vector<bf16> rounded = RunGemm<bf16>({.weight = weight.row, .x = x.rows}, n, stride);
      for (int64_t r = 0; r < m; ++r) {
        std::vector<double> expected(n);
        for (int64_t f = 0; f < n; ++f) expected[f] = Dot(x.values.data() + r * k, weight.Row(0, f), k);
        SCOPED_TRACE(testing::Message() << "n " << n << " k " << k << " m " << m << " row " << r);
        ExpectRow(out.data() + r * stride, expected, Tolerance(GetParam()));
        ExpectRow(rounded.data() + r * stride, expected, Tolerance(GetParam()));
        for (int64_t f = n; f < stride; ++f) ASSERT_TRUE(IsNaN(rounded[r * stride + f]));
      }
    }
  }
}

TEST_P(GemmTest, ARowIsTheSameAloneAndInAnyBatch) {
  Random random(2);
  const int64_t n = 144, k = 640,
                m = 260;  // several parts of K: side by side, and one after the other at 260 rows
  ASSERT_GT(ChooseSplits(1, n, k), 1);
  const Weight weight(GetParam(), 1, n, k, random);
  const Input x(GetParam().x, m, k, random, std::vector<bool>(m, true));
  int64_t stride = 0;
  ASSERT_EQ(ChooseGemm(1, n, k, m).tokens, 128);
  const std::vector<float> all = RunGemm<float>({.weight = weight.row, .x = x.rows}, n, stride);
  for (int64_t rows : {1, 8, 13, 32, 50}) {
    const int64_t first = (m - rows) / 4 * 4;
    const std::vector<float> out =
        RunGemm<float>({.weight = weight.row, .x = x.From(first, rows)}, n, stride);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t f = 0; f < n; ++f)
        ASSERT_EQ(out[r * stride + f], all[(first + r) * stride + f]) << rows << " rows, row " << r;
    }
  }
}

TEST_P(GemmTest, RangesOfRows) {
  Random random(3);
  const int64_t n = 144, k = 256, groups = 5, capacity = 60;
  const std::vector<int32_t> offsets = {0, 3, 3, 20, 21, 45};
  const CardArray<int32_t> card_offsets(offsets);
  std::vector<bool> real(capacity);
  for (int64_t r = 0; r < offsets.back(); ++r) real[r] = true;
  const Weight weight(GetParam(), groups, n, k, random);
  const Input x(GetParam().x, capacity, k, random, real);
  for (int64_t expected_rows : {4, 20, 70}) {
    int64_t stride = 0;
    const std::vector<bf16> out = RunGemm<bf16>({.weight = weight.row,
                                                 .x = x.rows,
                                                 .grouping = Grouping::kRanges,
                                                 .offsets = card_offsets.data(),
                                                 .rows_per_group = expected_rows},
                                                n, stride);
    for (int64_t g = 0; g < groups; ++g) {
      for (int64_t r = offsets[g]; r < offsets[g + 1]; ++r) {
        std::vector<double> expected(n);
        for (int64_t f = 0; f < n; ++f) expected[f] = Dot(x.values.data() + r * k, weight.Row(g, f), k);
        SCOPED_TRACE(testing::Message() << "row " << r << ", tile for " << expected_rows);
        ExpectRow(out.data() + r * stride, expected, Tolerance(GetParam()));
      }
    }
    for (int64_t r = offsets.back(); r < capacity; ++r) ASSERT_TRUE(IsNaN(out[r * stride])) << r;
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, GemmTest,
                         ::testing::Values(Operands{DType::kF8E4M3, DType::kF8E4M3}, kBothBF16,
                                           Operands{DType::kInt4G128, DType::kBF16},
                                           Operands{DType::kInt4G128, DType::kF8E4M3}),
                         [](const auto& info) {
                           const bool e4m3 = info.param.x == DType::kF8E4M3;
                           return std::string(info.param.weight == DType::kBF16     ? "BF16"
                                              : info.param.weight == DType::kF8E4M3 ? "E4M3"
                                              : e4m3                                ? "Int4WithE4M3"
                                                                                    : "Int4");
                         });

TEST(GemmHeadsTest, HeadsReadTheirOwnColumns) {
  Random random(5);
  const int64_t n = 144, k = 64, groups = 3, head_stride = 72, m = 20;
  const Weight weight(kBothBF16, groups, n, k, random);
  Input x(DType::kBF16, m, groups * head_stride, random, std::vector<bool>(m, true));
  int64_t stride = 0;
  const std::vector<float> out = RunGemm<float>(
      {.weight = weight.row, .x = x.rows, .grouping = Grouping::kHeads, .x_group_stride = head_stride},
      groups * n, stride);
  for (int64_t r = 0; r < m; ++r) {
    for (int64_t g = 0; g < groups; ++g) {
      std::vector<double> expected(n);
      for (int64_t f = 0; f < n; ++f) {
        expected[f] = Dot(x.values.data() + r * groups * head_stride + g * head_stride, weight.Row(g, f), k);
      }
      SCOPED_TRACE(testing::Message() << "row " << r << " head " << g);
      ExpectRow(out.data() + r * stride + g * n, expected, 2e-5);
    }
  }
}

TEST(GemmRefusalTest, SaysWhy) {
  Random random(6);
  const Weight weight(kBothBF16, 1, 16, 64, random);
  const Input x(DType::kBF16, 4, 64, random, std::vector<bool>(4, true));
  const CardArray<float> out(4 * 16);
  const GemmArgs good{.weight = weight.row, .x = x.rows, .out = {out.data(), DType::kF32, 4, 16, 16}};
  EXPECT_EQ(WhyNotGemm(good), nullptr);
  GemmArgs args = good;
  args.x.stride = 68;
  EXPECT_STREQ(WhyNotGemm(args), "x is not aligned to 16 bytes");
  args = good;
  args.out.stride = 18;
  EXPECT_STREQ(WhyNotGemm(args), "out is not aligned to 16 bytes");
  args = good;
  args.x.type = DType::kF8E4M3;
  EXPECT_STREQ(WhyNotGemm(args), "x is of another type than the product takes");
  args = good;
  args.weight = {.data = out.data(),
                 .type = DType::kInt4G128,
                 .n = 16,
                 .k = 128,
                 .int4_layout = WeightLayout::kTilesForE4M3};
  EXPECT_STREQ(WhyNotGemm(args), "x is of another type than the product takes");
  args.x.type = DType::kF8E4M3;
  args.x.stride = 128;
  args.x.scales = out.data();
  args.x.scale_stride = 4;
  EXPECT_STREQ(WhyNotGemm(args), "int4 weights need the sums of quantised x, aligned to 16 bytes");
  args = good;
  args.weight.groups = 2;
  EXPECT_STREQ(WhyNotGemm(args), "a dense product of several groups");
  args = good;
  args.weight.n = 24;
  EXPECT_STREQ(WhyNotGemm(args), "its rows are no multiple of 16");
}

}  // namespace
}  // namespace deeprack::kernels::sm90
