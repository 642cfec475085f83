#include "base/quantize/group_quantize.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace deeprack {
namespace {

std::vector<float> Normal(size_t count, float deviation, float mean = 0) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal(mean, deviation);
  std::vector<float> values;
  for (size_t i = 0; i < count; ++i) values.push_back(normal(random));
  return values;
}

double SquaredError(std::span<const float> values, const BlockInt4G128& block) {
  float back[128];
  Dequantize(DType::kInt4G128, &block, 128, back);
  double error = 0;
  for (size_t i = 0; i < 128; ++i) error += std::pow(static_cast<double>(back[i]) - values[i], 2);
  return error;
}

// Rounds to the nearest level of the scale that spans the values: the search must have a smaller error.
double SpannedError(std::span<const float> values, bool symmetric) {
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  const double scale = symmetric ? std::max(std::fabs(*low), std::fabs(*high)) / 7.5
                                 : (std::max(*high, 0.0f) - std::min(*low, 0.0f)) / 15.0;
  const double zero = symmetric ? 8 : std::round(-std::min(*low, 0.0f) / scale);
  double error = 0;
  for (const float value : values) {
    const double level = std::clamp(std::round(value / scale) + zero, 0.0, 15.0);
    error += std::pow((level - zero) * scale - value, 2);
  }
  return error;
}

TEST(GroupQuantizeTest, SearchBeatsTheSpan) {
  for (const float mean : {0.0f, 1.5f}) {
    const std::vector<float> values = Normal(128 * 200, 1, mean);
    for (const bool symmetric : {true, false}) {
      double found = 0, spanned = 0, square = 0;
      for (size_t i = 0; i < values.size(); i += 128) {
        const std::span group(values.data() + i, 128);
        found += SquaredError(group, QuantizeInt4Group(group, symmetric));
        spanned += SpannedError(group, symmetric);
        for (const float value : group) square += static_cast<double>(value) * value;
      }
      EXPECT_LT(found, spanned * 0.97) << symmetric << " " << mean;
      EXPECT_LT(std::sqrt(found / square), 0.107) << symmetric << " " << mean;
    }
  }
}

TEST(GroupQuantizeTest, ScalesAreBf16AndZerosInRange) {
  const std::vector<float> values = Normal(128 * 50, 1e-3f, 5e-4f);
  for (const bool symmetric : {true, false}) {
    for (size_t i = 0; i < values.size(); i += 128) {
      const BlockInt4G128 block = QuantizeInt4Group({values.data() + i, 128}, symmetric);
      EXPECT_GT(block.scale, 0);
      EXPECT_EQ(ToFloat(ToBF16(block.scale)), block.scale);
      EXPECT_LE(block.zero, 15);
      EXPECT_TRUE(!symmetric || block.zero == 8);
    }
  }
}

// Values on the levels of a bf16 scale that the search tries are unchanged.
TEST(GroupQuantizeTest, ExactValuesStayExact) {
  std::vector<float> values;
  for (int i = 0; i < 128; ++i) values.push_back(static_cast<float>(i % 16) * 0.25f);
  EXPECT_EQ(SquaredError(values, QuantizeInt4Group(values, /*symmetric=*/false)), 0);
}

TEST(GroupQuantizeTest, ExtremesOfFp32) {
  std::vector<float> values(128, 0.0f);
  for (const bool symmetric : {true, false})
    EXPECT_EQ(SquaredError(values, QuantizeInt4Group(values, symmetric)), 0);
  for (const float huge : {1e30f, 1e-30f, std::numeric_limits<float>::denorm_min()}) {
    values[7] = huge;
    values[8] = -huge;
    for (const bool symmetric : {true, false}) {
      const BlockInt4G128 block = QuantizeInt4Group(values, symmetric);
      EXPECT_TRUE(std::isfinite(block.scale)) << huge;
      EXPECT_GT(block.scale, 0) << huge;
    }
  }
}

TEST(GroupQuantizeTest, Int8RowsAreWithinHalfALevel) {
  const std::vector<float> values = Normal(1000, 0.02f);
  std::vector<int8_t> q(values.size());
  const float scale = ToFloat(QuantizeInt8Row(values, q.data()));
  for (size_t i = 0; i < values.size(); ++i) {
    // The largest value may be clipped, because its scale was rounded to eight bits.
    const float slack = std::abs(q[i]) >= 127 ? 0.5f : 0.0f;
    EXPECT_LE(std::fabs(static_cast<float>(q[i]) * scale - values[i]), scale * (0.5001f + slack));
  }
  std::vector<int8_t> none(4, 1);
  EXPECT_EQ(ToFloat(QuantizeInt8Row(std::vector<float>(4, 0.0f), none.data())), 1);
  EXPECT_EQ(none, std::vector<int8_t>(4, 0));
}

}  // namespace
}  // namespace deeprack
