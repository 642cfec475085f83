#include "kernels/cuda/sm90/quantise.h"

#include "base/e4m3.h"
#include "tests/unit/sm90/card.h"

namespace deeprack::kernels::sm90 {
namespace {

// What quantise.h says of one row, in the same fp32 steps.
struct Quantised {
  std::vector<uint8_t> bits;
  std::vector<float> scales;
};
Quantised Expected(const std::vector<float>& row) {
  Quantised out;
  for (size_t begin = 0; begin < row.size(); begin += 128) {
    const size_t end = std::min(row.size(), begin + 128);
    float largest = 0;
    for (size_t i = begin; i < end; ++i) largest = std::max(largest, std::abs(row[i]));
    out.scales.push_back(largest > 0 ? largest / 448.0f : 1.0f);
    for (size_t i = begin; i < end; ++i)
      out.bits.push_back(ToE4M3(row[i] * (largest > 0 ? 448.0f / largest : 1.0f)).bits);
  }
  return out;
}

// Room for out, NaN until written.
struct Output {
  Output(int64_t rows, int64_t cols)
      : stride((cols + 15) / 16 * 16 + 16),
        scale_stride(rows + 3),
        data(rows * stride),
        scales((cols + 127) / 128 * scale_stride),
        sums(scales.size()) {}
  QuantisedRows view() const { return {data.data(), stride, scales.data(), scale_stride, sums.data()}; }
  // Values as numbers.
  std::vector<float> Row(int64_t row, int64_t cols) const {
    const std::vector<fp8_e4m3> all = data.Read();
    const std::vector<float> scale = scales.Read();
    std::vector<float> values;
    for (int64_t c = 0; c < cols; ++c)
      values.push_back(ToFloat(all[row * stride + c]) * scale[c / 128 * scale_stride + row]);
    return values;
  }
  void ExpectRow(int64_t row, const std::vector<float>& x) const {
    const Quantised expected = Expected(x);
    const std::vector<fp8_e4m3> all = data.Read();
    const std::vector<float> scale = scales.Read();
    for (size_t c = 0; c < x.size(); ++c)
      ASSERT_EQ(all[row * stride + static_cast<int64_t>(c)].bits, expected.bits[c]) << row << " " << c;
    const std::vector<float> sum = sums.Read();
    for (size_t b = 0; b < expected.scales.size(); ++b) {
      ASSERT_EQ(scale[static_cast<int64_t>(b) * scale_stride + row], expected.scales[b]);
      double total = 0, size = 0;
      for (size_t c = b * 128; c < std::min(x.size(), b * 128 + 128); ++c) {
        const double value = static_cast<double>(ToFloat(fp8_e4m3{expected.bits[c]}));
        total += value * static_cast<double>(expected.scales[b]);
        size += std::abs(value) * static_cast<double>(expected.scales[b]);
      }
      ASSERT_NEAR(static_cast<double>(sum[static_cast<int64_t>(b) * scale_stride + row]), total, size * 1e-6);
    }
  }
  void ExpectUntouched(int64_t row) const {
    const std::vector<fp8_e4m3> all = data.Read();
    for (int64_t c = 0; c < stride; ++c) ASSERT_EQ(all[row * stride + c].bits, 0xff) << row;
  }
  int64_t stride, scale_stride;
  CardArray<fp8_e4m3> data;
  CardArray<float> scales, sums;
};

std::vector<float> Floats(const std::vector<bf16>& values, int64_t first, int64_t count) {
  std::vector<float> out;
  for (int64_t i = 0; i < count; ++i) out.push_back(ToFloat(values[first + i]));
  return out;
}

TEST(QuantiseTest, RowsAreGatheredAndQuantised) {
  Random random(1);
  const int64_t tokens = 5, cols = 300, stride = 308, rows = 7;
  std::vector<bf16> x = NormalBF16(tokens * stride, random);
  for (int64_t c = 128; c < 256; ++c) x[2 * stride + c] = {};  // a block of zeros
  const CardArray<bf16> card_x(x);
  const std::vector<int32_t> index = {4, 2, 2, 0, 1, 77, 77};
  const CardArray<int32_t> card_index(index), count(std::vector<int32_t>{5});
  const Output out(rows, cols);
  Quantise({{card_x.data(), DType::kBF16, tokens, cols, stride},
            card_index.data(),
            rows,
            count.data(),
            out.view()},
           {});
  CardWait();
  for (int64_t r = 0; r < 5; ++r) out.ExpectRow(r, Floats(x, index[r] * stride, cols));
  out.ExpectUntouched(5);
  out.ExpectUntouched(6);
}

TEST(NormQuantiseTest, AddsNormsAndQuantises) {
  Random random(3);
  for (const int64_t cols : {int64_t{64}, int64_t{1536}, int64_t{7168}}) {
    const int64_t rows = 3;
    const std::vector<bf16> x = NormalBF16(rows * cols, random), residual = NormalBF16(rows * cols, random);
    const std::vector<float> weight = UniformFloats(cols, random, 0.5f, 2.0f);
    const CardArray<bf16> card_x(x), card_residual(residual), normed(rows * cols);
    const CardArray<float> card_weight(weight);
    const Output out(rows, cols);
    const auto matrix = [&](const CardArray<bf16>& array) {
      return Matrix{array.data(), DType::kBF16, rows, cols, cols};
    };
    NormQuantise(
        {matrix(card_x), matrix(card_residual), card_weight.data(), 1e-6f, matrix(normed), out.view()}, {});
    CardWait();
    const std::vector<bf16> sums = card_residual.Read(), rounded = normed.Read();
    for (int64_t r = 0; r < rows; ++r) {
      std::vector<double> expected(cols);
      double squares = 0;
      for (int64_t c = 0; c < cols; ++c) {
        const bf16 sum = ToBF16(ToFloat(residual[r * cols + c]) + ToFloat(x[r * cols + c]));
        ASSERT_EQ(sums[r * cols + c].bits, sum.bits);
        expected[c] = static_cast<double>(ToFloat(sum));
        squares += expected[c] * expected[c];
      }
      for (int64_t c = 0; c < cols; ++c) {
        expected[c] *= static_cast<double>(weight[c]) / std::sqrt(squares / static_cast<double>(cols) + 1e-6);
      }
      ExpectRow(rounded.data() + r * cols, expected, 1e-5);
      // A value of a block is off by half a step at most: 1/16 of itself, or 2^-10 of the largest / 448.
      const std::vector<float> values = out.Row(r, cols);
      for (int64_t c = 0; c < cols; ++c) {
        ASSERT_NEAR(static_cast<double>(values[c]), expected[c], std::abs(expected[c]) / 16 + 1e-4)
            << r << " " << c;
      }
    }
    // Without x: the residual as it stands.
    const Output alone(rows, cols);
    NormQuantise({{}, matrix(card_residual), card_weight.data(), 1e-6f, {}, alone.view()}, {});
    CardWait();
    EXPECT_EQ(alone.Row(1, cols), out.Row(1, cols));
  }
}

TEST(SwiGluQuantiseTest, AgreesWithReference) {
  Random random(4);
  const int64_t rows = 4, cols = 320;
  const std::vector<bf16> x = NormalBF16(rows * 2 * cols, random);
  const CardArray<bf16> card_x(x);
  const CardArray<int32_t> count(std::vector<int32_t>{3});
  const Output out(rows, cols);
  SwiGluQuantise({{card_x.data(), DType::kBF16, rows, 2 * cols, 2 * cols}, count.data(), out.view()}, {});
  CardWait();
  for (int64_t r = 0; r < 3; ++r) {
    const std::vector<float> values = out.Row(r, cols);
    for (int64_t c = 0; c < cols; ++c) {
      const double gate = static_cast<double>(ToFloat(x[r * 2 * cols + c])),
                   up = static_cast<double>(ToFloat(x[r * 2 * cols + cols + c]));
      const double expected = gate / (1 + std::exp(-gate)) * up;
      ASSERT_NEAR(static_cast<double>(values[c]), expected, std::abs(expected) / 16 + 1e-4) << r << " " << c;
    }
  }
  out.ExpectUntouched(3);
}

TEST(GatherTest, CopiesRowsByIndex) {
  Random random(5);
  const int64_t cols = 264;
  const std::vector<bf16> x = NormalBF16(6 * cols, random);
  const CardArray<bf16> card_x(x), out(4 * cols);
  const CardArray<int32_t> index(std::vector<int32_t>{5, 0, 0, 99}), count(std::vector<int32_t>{3});
  Gather({{card_x.data(), DType::kBF16, 6, cols, cols},
          index.data(),
          count.data(),
          {out.data(), DType::kBF16, 4, cols, cols}},
         {});
  CardWait();
  const std::vector<bf16> result = out.Read();
  for (int64_t c = 0; c < cols; ++c) {
    ASSERT_EQ(result[c].bits, x[5 * cols + c].bits);
    ASSERT_EQ(result[2 * cols + c].bits, x[c].bits);
    ASSERT_EQ(result[3 * cols + c].bits, 0xffff);
  }
}

TEST(GatherTest, CopiesQuantisedRowsByIndex) {
  Random random(6);
  const int64_t cols = 272, tokens = 5;
  const std::vector<bf16> x = NormalBF16(tokens * cols, random);
  const CardArray<bf16> card_x(x);
  const Output quantised(tokens, cols), out(4, cols);
  Quantise({{card_x.data(), DType::kBF16, tokens, cols, cols}, nullptr, tokens, nullptr, quantised.view()},
           {});
  const CardArray<int32_t> index(std::vector<int32_t>{4, 0, 0, 99}), count(std::vector<int32_t>{3});
  GatherQuantised({quantised.view(), cols, index.data(), 4, count.data(), out.view()}, {});
  CardWait();
  out.ExpectRow(0, Floats(x, 4 * cols, cols));
  out.ExpectRow(2, Floats(x, 0, cols));
  out.ExpectUntouched(3);
}

}  // namespace
}  // namespace deeprack::kernels::sm90
