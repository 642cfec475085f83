#include "kernels/cuda/sm90/gemm.h"

#include <memory>
#include <numeric>

#include "kernels/cuda/sm90/int4_weight.h"
#include "tests/unit/sm90/card.h"

namespace deeprack::kernels::sm90 {
namespace {

constexpr int kBlocks = 3;  // of the grid: each does several units

struct Operands {
  DType weight, x;
};
constexpr Operands kBothBF16{DType::kBF16, DType::kBF16};

// A weight of [groups][n, k] in its kernel's format, and its values.
struct Weight {
  Weight(Operands operands, int64_t groups, int64_t n, int64_t k, Random& random)
      : n(n), k(k), values(groups * n * k) {
    const DType type = operands.weight;
    row = {nullptr, nullptr, type, groups, n, k};
    if (operands.x == DType::kF8E4M3) row.order = Int4Order::kForE4M3;
    if (type == DType::kBF16) {
      const std::vector<bf16> source = NormalBF16(values.size(), random, 0.1f);
      for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<double>(ToFloat(source[i]));
      Keep(source);
    } else if (type == DType::kF8E4M3) {
      const std::vector<fp8_e4m3> source = RandomE4M3(values.size(), random);
      const std::vector<float> scale = UniformFloats(ScaleCount(groups, n, k), random, 1e-4f, 3e-3f);
      for (size_t i = 0; i < values.size(); ++i) {
        const size_t at = i / static_cast<size_t>(k), col = i % static_cast<size_t>(k);
        const float s = scale[(at / 16 * static_cast<size_t>(ScaleBlocks(k)) + col / 128) * 2 + at % 16 / 8];
        values[i] = static_cast<double>(ToFloat(source[i])) * static_cast<double>(s);
      }
      Keep(source);
      scales = std::make_unique<CardArray<float>>(scale);
      row.scales = scales->data();
    } else {
      std::vector<uint8_t> tiles(Int4Bytes(groups, n, k));
      std::vector<BlockInt4G128> blocks(k / 128);
      for (int64_t g = 0; g < groups; ++g) {
        for (int64_t r = 0; r < n; ++r) {
          for (BlockInt4G128& block : blocks) {
            block.scale = std::uniform_real_distribution<float>(0.001f, 0.02f)(random);
            block.zero = static_cast<uint8_t>(random() % 17);
            for (uint8_t& q : block.qs) q = static_cast<uint8_t>(random());
          }
          PackInt4Row(blocks.data(), r, k, tiles.data() + g * Int4Bytes(1, n, k), row.order);
          for (int64_t c = 0; c < k; ++c) {
            const BlockInt4G128& block = blocks[c / 128];
            const int q = block.qs[c % 64] >> (c % 128 / 64 * 4) & 15;
            values[(g * n + r) * k + c] =
                static_cast<double>(q - block.zero) * static_cast<double>(block.scale);
          }
        }
      }
      Keep(tiles);
    }
  }

  template <class T>
  void Keep(const std::vector<T>& source) {
    bytes = std::make_unique<CardArray<uint8_t>>(
        std::vector<uint8_t>(reinterpret_cast<const uint8_t*>(source.data()),
                             reinterpret_cast<const uint8_t*>(source.data() + source.size())));
    row.data = bytes->data();
  }
  const double* Row(int64_t group, int64_t feature) const {
    return values.data() + (group * n + feature) * k;
  }

  int64_t n, k;
  std::vector<double> values;
  std::unique_ptr<CardArray<uint8_t>> bytes;
  std::unique_ptr<CardArray<float>> scales;
  RowWeight row;
};

// Rows of x: of `capacity`, those that are not `real` are NaN, and so are their scales and whatever lies
// between rows.
struct Input {
  Input(DType type, int64_t capacity, int64_t width, Random& random, const std::vector<bool>& real)
      : stride(width + 16), values(capacity * width) {
    rows = {nullptr, type, capacity, stride, nullptr, (capacity + 3) / 4 * 4};
    const int64_t blocks = ScaleBlocks(width);
    if (type == DType::kF8E4M3) {
      std::vector<fp8_e4m3> source = RandomE4M3(capacity * stride, random);
      std::vector<float> scale = UniformFloats(blocks * rows.scale_stride, random, 0.001f, 0.1f);
      std::vector<float> sum(scale.size());
      for (int64_t r = 0; r < rows.scale_stride; ++r) {
        const bool here = r < capacity && real[r];
        for (int64_t b = 0; b < blocks; ++b) {
          if (!here) scale[b * rows.scale_stride + r] = std::numeric_limits<float>::quiet_NaN();
        }
        if (r >= capacity) continue;
        for (int64_t c = 0; c < stride; ++c) {
          if (!here || c >= width) source[r * stride + c].bits = 0xff;
          if (c < width) {
            values[r * width + c] = static_cast<double>(ToFloat(source[r * stride + c])) *
                                    static_cast<double>(scale[c / 128 * rows.scale_stride + r]);
          }
        }
        for (int64_t b = 0; b < blocks; ++b) {
          const auto begin = values.begin() + r * width + b * 128;
          sum[b * rows.scale_stride + r] = static_cast<float>(
              std::accumulate(begin, begin + std::min<int64_t>(128, width - b * 128), 0.0));
        }
      }
      fp8 = std::make_unique<CardArray<fp8_e4m3>>(source);
      scales = std::make_unique<CardArray<float>>(scale);
      rows.data = fp8->data();
      sums = std::make_unique<CardArray<float>>(sum);
      rows.scales = scales->data();
      rows.sums = sums->data();
    } else {
      std::vector<bf16> source = NormalBF16(capacity * stride, random);
      for (int64_t r = 0; r < capacity; ++r) {
        for (int64_t c = 0; c < stride; ++c) {
          if (!real[r] || c >= width) source[r * stride + c].bits = 0xffff;
          if (c < width) values[r * width + c] = static_cast<double>(ToFloat(source[r * stride + c]));
        }
      }
      bf = std::make_unique<CardArray<bf16>>(source);
      rows.data = bf->data();
    }
  }
  // The rows from `first` on, as a matrix of their own: what a smaller batch would hold.
  Rows From(int64_t first, int64_t count) const {
    Rows part = rows;
    part.rows = count;
    part.data =
        static_cast<const uint8_t*>(rows.data) + first * stride * static_cast<int64_t>(SizeOf(rows.type));
    if (part.scales != nullptr) part.scales += first;
    if (part.sums != nullptr) part.sums += first;
    return part;
  }

  int64_t stride;
  std::vector<double> values;
  std::unique_ptr<CardArray<fp8_e4m3>> fp8;
  std::unique_ptr<CardArray<bf16>> bf;
  std::unique_ptr<CardArray<float>> scales, sums;
  Rows rows;
};

double Tolerance(Operands operands) { return operands.x == DType::kF8E4M3 ? Fp8Tolerance() : 2e-5; }

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

double Dot(const double* a, const double* b, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += a[i] * b[i];
  return sum;
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

TEST_P(GemmTest, MaskedGroupsWithSwiGlu) {
  Random random(4);
  const int64_t n = 160, k = 128, groups = 4, group_rows = 24;
  const std::vector<int32_t> counts = {0, 24, 1, 10};
  const CardArray<int32_t> card_counts(counts);
  std::vector<bool> real(groups * group_rows);
  for (int64_t g = 0; g < groups; ++g) {
    for (int64_t r = 0; r < counts[g]; ++r) real[g * group_rows + r] = true;
  }
  const Weight weight(GetParam(), groups, n, k, random);
  const Input x(GetParam().x, groups * group_rows, k, random, real);
  int64_t stride = 0;
  const std::vector<bf16> out = RunGemm<bf16>({.weight = weight.row,
                                               .x = x.rows,
                                               .grouping = Grouping::kMasked,
                                               .counts = card_counts.data(),
                                               .group_rows = group_rows,
                                               .rows_per_group = 10,
                                               .swiglu = true},
                                              n / 2, stride);
  for (int64_t g = 0; g < groups; ++g) {
    for (int64_t r = 0; r < group_rows; ++r) {
      const int64_t row = g * group_rows + r;
      if (r >= counts[g]) {
        ASSERT_TRUE(IsNaN(out[row * stride]));
        continue;
      }
      std::vector<double> expected(n / 2);
      for (int64_t f = 0; f < n / 2; ++f) {
        const double gate = Dot(x.values.data() + row * k, weight.Row(g, f / 8 * 16 + f % 8), k);
        const double up = Dot(x.values.data() + row * k, weight.Row(g, f / 8 * 16 + f % 8 + 8), k);
        expected[f] = gate / (1 + std::exp(-gate)) * up;
      }
      SCOPED_TRACE(testing::Message() << "group " << g << " row " << r);
      ExpectRow(out.data() + row * stride, expected, 4 * Tolerance(GetParam()));
    }
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
  args.weight = {out.data(), nullptr, DType::kInt4G128, 1, 16, 128, Int4Order::kForE4M3};
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
