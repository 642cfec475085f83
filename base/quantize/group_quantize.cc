#include "base/quantize/group_quantize.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/quantize/scale_fit.h"

namespace deeprack {
namespace {

constexpr size_t kGroup = 128;
// A smaller range counts as zero: its reciprocal would overflow fp32.
constexpr float kNothing = 1e-20f;

float AsBF16(float value) { return ToFloat(ToBF16(value)); }

// The scale and minimum of a group of zeros.
Affine Nothing(bool symmetric) { return {1, symmetric ? 8.0f : 0.0f}; }

// The best scale, and minimum = scale * zero, for levels 0..15.
Affine Fit(std::span<const float> values, bool symmetric) {
  const auto [lowest_value, highest_value] = std::minmax_element(values.begin(), values.end());
  const float low = std::min(*lowest_value, 0.0f);
  const float high = std::max(*highest_value, 0.0f);
  if (high - low < kNothing) return Nothing(symmetric);

  float square = 0;
  for (const float value : values) square += value * value;
  const float rms = std::sqrt(square / static_cast<float>(values.size()));
  float weights[kGroup];
  for (size_t i = 0; i < kGroup; ++i) weights[i] = rms + std::fabs(values[i]);

  Affine candidates[kTrials];
  for (int t = 0; t < kTrials; ++t) {
    const auto step = static_cast<float>(t);
    if (symmetric) {
      // Candidates bring the largest magnitude to 6.6 to 8.4 levels: levels reach 7 for positive and 8 for
      // negative values.
      const float scale = AsBF16(std::max(high, -low) / (6.6f + 0.12f * step));
      candidates[t] = {scale, 8 * scale};
    } else {
      const float share = 1.05f - 0.025f * step;  // of the range
      const float scale = AsBF16((high - low) * share / 15);
      const float zero = std::clamp(std::nearbyint(-low * share / scale), 0.0f, 15.0f);
      candidates[t] = {scale, zero * scale};
    }
  }
  Residuals residuals[kTrials];
  TryAffines(values, weights, {0, 15}, candidates, residuals);
  int best = 0;
  for (int t = 1; t < kTrials; ++t) {
    if (residuals[t].rr < residuals[best].rr) best = t;
  }
  return candidates[best];
}

}  // namespace

BlockInt4G128 QuantizeInt4Group(std::span<const float> values, bool symmetric) {
  DR_CHECK(values.size() == kGroup);
  const Affine affine = Fit(values, symmetric);
  BlockInt4G128 block = {};
  block.scale = affine.scale;
  block.zero = static_cast<uint8_t>(std::nearbyint(affine.min / affine.scale));
  const auto level = [&](size_t i) { return NearestLevel(values[i], affine, {0, 15}); };
  for (size_t i = 0; i < kGroup / 2; ++i) {
    block.qs[i] = static_cast<uint8_t>(level(i) | level(i + kGroup / 2) << 4);
  }
  return block;
}

bf16 QuantizeInt8Row(std::span<const float> values, int8_t* out) {
  float largest = 0;
  for (const float value : values) largest = std::max(largest, std::fabs(value));
  const bf16 stored = ToBF16(largest < kNothing ? 1.0f : largest / 127);
  const Affine affine = {ToFloat(stored), 0};
  for (size_t i = 0; i < values.size(); ++i) {
    out[i] = static_cast<int8_t>(NearestLevel(values[i], affine, {-128, 127}));
  }
  return stored;
}

}  // namespace deeprack
