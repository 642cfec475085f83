#include "base/quantize/block_quantize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "base/block_formats.h"

namespace deeprack {
namespace {

constexpr int64_t kElements = 256 * 64;

std::vector<float> Normal(int64_t count, float deviation, uint32_t seed = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, deviation);
  std::vector<float> values;
  for (int64_t i = 0; i < count; ++i) values.push_back(normal(random));
  return values;
}

std::vector<char> Quantized(DType type, const std::vector<float>& values) {
  std::vector<char> blocks(static_cast<size_t>(BytesOf(type, static_cast<int64_t>(values.size()))));
  Quantize(type, values.data(), static_cast<int64_t>(values.size()), blocks.data());
  return blocks;
}

std::vector<float> ThereAndBack(DType type, const std::vector<float>& values) {
  const std::vector<char> blocks = Quantized(type, values);
  std::vector<float> back(values.size());
  Dequantize(type, blocks.data(), static_cast<int64_t>(values.size()), back.data());
  return back;
}

// The root mean square of the errors, relative to that of the values.
double RelativeError(DType type, const std::vector<float>& values) {
  const std::vector<float> back = ThereAndBack(type, values);
  double error = 0, square = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    error += std::pow(static_cast<double>(back[i]) - values[i], 2);
    square += std::pow(static_cast<double>(values[i]), 2);
  }
  return std::sqrt(error / square);
}

struct Bound {
  DType type;
  double error;  // on normally distributed values
};
// From coarse to fine. The bounds are one or two percent above the measured errors.
const Bound kBounds[] = {{DType::kQ2K, 0.28},   {DType::kQ3K, 0.150},  {DType::kQ4_0, 0.088},
                         {DType::kQ4_1, 0.080}, {DType::kQ4K, 0.0725}, {DType::kQ5_0, 0.0440},
                         {DType::kQ5_1, 0.039}, {DType::kQ5K, 0.0355}, {DType::kQ6K, 0.0172},
                         {DType::kQ8_0, 0.0056}};

class EveryFormat : public testing::TestWithParam<Bound> {};

INSTANTIATE_TEST_SUITE_P(BlockQuantize, EveryFormat, testing::ValuesIn(kBounds),
                         [](const auto& tested) { return std::string(Name(tested.param.type)); });

TEST_P(EveryFormat, ErrorOnNormalValues) {
  for (float deviation : {1.0f, 0.02f, 1000.0f}) {
    EXPECT_LT(RelativeError(GetParam().type, Normal(kElements, deviation)), GetParam().error);
  }
}

TEST(BlockQuantize, FinerFormatsErrLess) {
  const std::vector<float> values = Normal(kElements, 0.02f);
  double previous = 1;
  for (const Bound& bound : kBounds) {
    const double error = RelativeError(bound.type, values);
    EXPECT_LT(error, previous) << Name(bound.type);
    previous = error;
  }
}

TEST_P(EveryFormat, ZerosStayZero) {
  const std::vector<float> zeros(256, 0.0f);
  EXPECT_EQ(ThereAndBack(GetParam().type, zeros), zeros);
}

TEST_P(EveryFormat, ConstantsAreNearlyExact) {
  for (float constant : {1.0f, -1.0f, 0.0371f, -0.0371f, 1000.0f}) {
    const std::vector<float> back = ThereAndBack(GetParam().type, std::vector<float>(256, constant));
    for (float value : back) EXPECT_NEAR(value / constant, 1, 2e-3);
  }
}

TEST_P(EveryFormat, OneLargeValueAmongZerosSurvives) {
  for (float large : {5.0f, -5.0f}) {
    std::vector<float> values(256, 0.0f);
    values[77] = large;
    const std::vector<float> back = ThereAndBack(GetParam().type, values);
    for (size_t i = 0; i < 256; ++i) EXPECT_NEAR(back[i], values[i], 2e-3) << i;
  }
}

// A value beyond half precision becomes the nearest representable value: large, but never infinite.
TEST_P(EveryFormat, ValuesBeyondTheRangeSaturate) {
  constexpr float kLargest = std::numeric_limits<float>::max();
  for (float huge : {1e9f, 1e20f, kLargest}) {
    std::vector<float> values = Normal(256, huge / 4);
    for (float& value : values) value = std::clamp(value, -kLargest, kLargest);
    values[3] = huge;
    values[200] = -huge;
    const std::vector<char> blocks = Quantized(GetParam().type, values);
    EXPECT_TRUE(BlocksAreFinite(GetParam().type, blocks.data(), 256));
    const std::vector<float> back = ThereAndBack(GetParam().type, values);
    EXPECT_GT(back[3], 5e5f);
    EXPECT_LE(back[200], -65504);  // lower in formats whose minimum is a half of its own
  }
}

TEST_P(EveryFormat, TinyValuesBecomeZeroOrAreKept) {
  for (float tiny : {1e-45f, 1e-40f, 1e-30f, 1e-19f, 1e-10f, 1e-7f, 3e-7f}) {
    const std::vector<float> values = Normal(256, tiny);
    const std::vector<float> back = ThereAndBack(GetParam().type, values);
    // Half precision has steps of 2^-24. A level is at most 32 steps away.
    for (size_t i = 0; i < 256; ++i) EXPECT_NEAR(back[i], values[i], 8 * 0x1p-24 + 2 * tiny);
  }
}

TEST_P(EveryFormat, ABlockDependsOnItsValuesAlone) {
  const DType type = GetParam().type;
  const std::vector<float> values = Normal(1024, 1);
  const std::vector<char> together = Quantized(type, values);
  std::vector<char> apart;
  for (int64_t at = 0; at < 1024; at += BlockElements(type)) {
    const std::vector<char> block =
        Quantized(type, {values.begin() + at, values.begin() + at + BlockElements(type)});
    apart.insert(apart.end(), block.begin(), block.end());
  }
  EXPECT_EQ(together, apart);
}

TEST(BlockQuantize, Types) {
  for (const Bound& bound : kBounds) EXPECT_TRUE(CanQuantize(bound.type));
  for (DType type :
       {DType::kF32, DType::kBF16, DType::kF16, DType::kF8E4M3, DType::kInt4G128, DType::kInt8G128}) {
    EXPECT_FALSE(CanQuantize(type));
  }
}

}  // namespace
}  // namespace deeprack
