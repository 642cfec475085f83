#include "base/quantize/scale_fit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace deeprack {
namespace {

double ErrorOf(const std::vector<float>& values, const std::vector<float>& weights, Affine affine,
               LevelRange levels) {
  double error = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const double r = values[i] - affine.scale * NearestLevel(values[i], affine, levels) + affine.min;
    error += weights[i] * r * r;
  }
  return error;
}

struct Group {
  std::vector<float> values, weights;
};
Group RandomGroup(int size, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  Group group;
  for (int i = 0; i < size; ++i) {
    group.values.push_back(normal(random));
    group.weights.push_back(0.1f + std::fabs(normal(random)));
  }
  return group;
}

TEST(ScaleFit, FindsTheScaleThatValuesWereMadeWith) {
  for (float scale : {0.01f, -0.01f, 3e4f, 1e-6f}) {
    std::vector<float> values, weights(16, 1.0f);
    for (int i = 0; i < 16; ++i) values.push_back(scale * static_cast<float>((i * 5) % 8 - 4));
    EXPECT_NEAR(FitScale(values, weights, {-4, 3}) / scale, 1.0f, 1e-5f);
  }
}

TEST(ScaleFit, FindsScaleAndMinimumThatValuesWereMadeWith) {
  std::vector<float> values, weights(32, 1.0f);
  for (int i = 0; i < 32; ++i) values.push_back(0.02f * static_cast<float>((i * 7) % 16) - 0.11f);
  const Affine fit = FitAffine(values, weights, 15);
  EXPECT_NEAR(fit.scale, 0.02f, 1e-6f);
  EXPECT_NEAR(fit.min, 0.11f, 1e-6f);
}

TEST(ScaleFit, MinimumIsNeverNegative) {
  for (uint32_t seed = 0; seed < 100; ++seed) {
    Group group = RandomGroup(32, seed);
    for (float& value : group.values) value = std::fabs(value) + static_cast<float>(seed % 3);
    const Affine fit = FitAffine(group.values, group.weights, 15);
    EXPECT_GE(fit.min, 0);
    EXPECT_GT(fit.scale, 0);
  }
}

// The search tries a few dozen candidates; a dense grid finds only a little smaller errors.
TEST(ScaleFit, IsCloseToTheBestOfADenseGrid) {
  double ours = 0, best = 0;
  for (uint32_t seed = 0; seed < 50; ++seed) {
    const Group group = RandomGroup(16, seed);
    const LevelRange levels = {-4, 3};
    ours += ErrorOf(group.values, group.weights, {FitScale(group.values, group.weights, levels), 0}, levels);
    double least = 1e30;
    for (float scale = -1; scale <= 1; scale += 1e-3f) {
      least = std::min(least, ErrorOf(group.values, group.weights, {scale, 0}, levels));
    }
    best += least;
  }
  EXPECT_LE(ours, 1.03 * best);
}

TEST(ScaleFit, AffineIsCloseToTheBestOfADenseGrid) {
  double ours = 0, best = 0;
  for (uint32_t seed = 0; seed < 20; ++seed) {
    const Group group = RandomGroup(16, seed);
    const LevelRange levels = {0, 3};
    ours += ErrorOf(group.values, group.weights, FitAffine(group.values, group.weights, 3), levels);
    double least = 1e30;
    for (float scale = 0.01f; scale <= 2; scale += 1e-2f) {
      for (float min = 0; min <= 3; min += 1e-2f) {
        least = std::min(least, ErrorOf(group.values, group.weights, {scale, min}, levels));
      }
    }
    best += least;
  }
  EXPECT_LE(ours, 1.05 * best);
}

TEST(ScaleFit, GroupsOfOneValue) {
  const std::vector<float> weights(16, 1.0f);
  EXPECT_EQ(FitScale(std::vector<float>(16, 0.0f), weights, {-32, 31}), 0);
  EXPECT_EQ(FitScale(std::vector<float>(16, 1e-30f), weights, {-32, 31}), 0);
  const Affine zero = FitAffine(std::vector<float>(16, 0.0f), weights, 15);
  EXPECT_EQ(zero.scale, 0);
  EXPECT_EQ(zero.min, 0);
  const Affine below = FitAffine(std::vector<float>(16, -2.5f), weights, 15);
  EXPECT_EQ(below.scale * static_cast<float>(NearestLevel(-2.5f, below, {0, 15})) - below.min, -2.5f);
  const Affine above = FitAffine(std::vector<float>(16, 2.5f), weights, 15);
  EXPECT_NEAR(above.scale * static_cast<float>(NearestLevel(2.5f, above, {0, 15})) - above.min, 2.5f, 1e-5f);
}

}  // namespace
}  // namespace deeprack
