#include "base/quantize/scale_fit.h"

#include <algorithm>
#include <cmath>

// TryAffines is compiled again for wider vectors; the loader chooses one when the program starts. All give
// the same results. Sanitizers cannot instrument such functions.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define DR_FOR_WIDER_VECTORS __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define DR_FOR_WIDER_VECTORS
#endif

namespace deeprack {
namespace {

// Far below half precision's smallest number: a group of such values is zero in every format. Reciprocals of
// smaller numbers would overflow fp32.
constexpr float kNothing = 1e-20f;

// Rounds to the nearest integer, ties to even, for |x| < 2^22: the addition shifts the fraction out.
inline float Round(float x) { return (x + 12582912.0f) - 12582912.0f; }

inline float Clamp(float x, float low, float high) {
  const float at_least = x > low ? x : low;
  return at_least < high ? at_least : high;
}

float Reciprocal(float scale) { return std::fabs(scale) < kNothing ? 0.0f : 1.0f / scale; }

// The solution of the normal equations for the levels of a candidate, and the error with that solution.
struct Refined {
  Affine affine;
  float error = 0;
};

Refined RefineScale(Affine at, const Residuals& sums) {
  if (sums.qq <= 0) return {at, sums.rr};
  const float step = sums.rq / sums.qq;
  return {{at.scale + step, 0}, sums.rr - step * sums.rq};
}

Refined RefineAffine(Affine at, const Residuals& sums, float weight) {
  const float determinant = sums.qq * weight - sums.q * sums.q;
  if (!(determinant > 1e-6f * sums.qq * weight)) return {at, sums.rr};  // all values on one level
  float scale_step = (sums.rq * weight - sums.q * sums.r) / determinant;
  float min_step = (scale_step * sums.q - sums.r) / weight;
  if (at.min + min_step < 0) {
    min_step = -at.min;
    scale_step = (sums.rq + min_step * sums.q) / sums.qq;
  }
  const float error = sums.rr + min_step * (min_step * weight + 2 * sums.r - 2 * scale_step * sums.q) +
                      scale_step * (scale_step * sums.qq - 2 * sums.rq);
  return {{at.scale + scale_step, at.min + min_step}, error};
}

// The best of the candidates after each has been refined.
template <class Refine>
Refined Best(std::span<const float> values, std::span<const float> weights, LevelRange levels,
             const Affine (&candidates)[kTrials], const Refine& refine) {
  Residuals residuals[kTrials];
  TryAffines(values, weights, levels, candidates, residuals);
  Refined best = refine(candidates[0], residuals[0]);
  for (int t = 1; t < kTrials; ++t) {
    const Refined refined = refine(candidates[t], residuals[t]);
    if (refined.error < best.error) best = refined;
  }
  return best;
}

}  // namespace

int NearestLevel(float x, Affine affine, LevelRange levels) {
  return static_cast<int>(
      Round(Clamp((x + affine.min) * Reciprocal(affine.scale), static_cast<float>(levels.lowest),
                  static_cast<float>(levels.highest))));
}

DR_FOR_WIDER_VECTORS
void TryAffines(std::span<const float> values, std::span<const float> weights, LevelRange levels,
                const Affine (&candidates)[kTrials], Residuals (&residuals)[kTrials]) {
  const auto low = static_cast<float>(levels.lowest);
  const auto high = static_cast<float>(levels.highest);
  float scale[kTrials], min[kTrials], inverse[kTrials];
  float rr[kTrials] = {}, r1[kTrials] = {}, rq[kTrials] = {}, q1[kTrials] = {}, qq[kTrials] = {};
  for (int t = 0; t < kTrials; ++t) {
    scale[t] = candidates[t].scale;
    min[t] = candidates[t].min;
    inverse[t] = Reciprocal(scale[t]);
  }
  for (size_t i = 0; i < values.size(); ++i) {
    const float x = values[i];
    const float w = weights[i];
    for (int t = 0; t < kTrials; ++t) {
      const float raised = x + min[t];
      const float q = Round(Clamp(raised * inverse[t], low, high));
      const float r = raised - scale[t] * q;
      const float wr = w * r;
      const float wq = w * q;
      rr[t] += wr * r;
      r1[t] += wr;
      rq[t] += wr * q;
      q1[t] += wq;
      qq[t] += wq * q;
    }
  }
  for (int t = 0; t < kTrials; ++t) residuals[t] = {rr[t], r1[t], rq[t], q1[t], qq[t]};
}

float FitScale(std::span<const float> values, std::span<const float> weights, LevelRange levels) {
  float extreme = 0;
  for (float value : values) {
    if (std::fabs(value) > std::fabs(extreme)) extreme = value;
  }
  if (std::fabs(extreme) < kNothing) return 0;
  // Candidates bring the value of largest magnitude near the highest level. When there are negative levels,
  // every second candidate brings that value near the lowest level.
  Affine candidates[kTrials];
  for (int t = 0; t < kTrials; ++t) {
    const bool down = levels.lowest < 0 && t % 2 == 1;
    const int place = levels.lowest < 0 ? t / 2 : t;
    const int places = levels.lowest < 0 ? kTrials / 2 : kTrials;
    const float offset = static_cast<float>(place) / static_cast<float>(places - 1) * 1.8f - 0.9f;
    const float level =
        down ? static_cast<float>(levels.lowest) - offset : static_cast<float>(levels.highest) + offset;
    candidates[t] = {extreme / level, 0};
  }
  const Refined coarse = Best(values, weights, levels, candidates, RefineScale);
  const float reach = 0.6f / static_cast<float>(std::max(levels.highest, -levels.lowest));
  for (int t = 0; t < kTrials; ++t) {
    candidates[t] = {coarse.affine.scale * (1 + reach * (static_cast<float>(t) / 7.5f - 1.0f)), 0};
  }
  const Refined fine = Best(values, weights, levels, candidates, RefineScale);
  return fine.error < coarse.error ? fine.affine.scale : coarse.affine.scale;
}

Affine FitAffine(std::span<const float> values, std::span<const float> weights, int highest) {
  const auto [lowest_value, highest_value] = std::minmax_element(values.begin(), values.end());
  const float low = std::min(*lowest_value, 0.0f);
  const float range = *highest_value - low;
  // A group of equal values: the minimum alone gives the values.
  if (!(range >= kNothing)) return {0, -low < kNothing ? 0.0f : -low};
  float weight = 0;
  for (float w : weights) weight += w;
  const auto refine = [&](Affine at, const Residuals& sums) { return RefineAffine(at, sums, weight); };

  Affine candidates[kTrials];
  for (int t = 0; t < kTrials; ++t) {
    const float offset = static_cast<float>(t) / 15 * 2.0f - 1.0f;
    candidates[t] = {range / (static_cast<float>(highest) + offset), -low};
  }
  const LevelRange levels = {0, highest};
  const Refined coarse = Best(values, weights, levels, candidates, refine);
  // Around the best so far: four scales, each with four minima, moved by fractions of a level.
  for (int t = 0; t < kTrials; ++t) {
    const float scale =
        coarse.affine.scale * (1 + 0.4f / static_cast<float>(highest) * (static_cast<float>(t / 4) - 1.5f));
    const float min = coarse.affine.min + 0.25f * scale * (static_cast<float>(t % 4) - 1.5f);
    candidates[t] = {scale, std::max(min, 0.0f)};
  }
  const Refined fine = Best(values, weights, levels, candidates, refine);
  return fine.error < coarse.error ? fine.affine : coarse.affine;
}

}  // namespace deeprack
