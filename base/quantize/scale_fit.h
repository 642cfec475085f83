// Fits a group of real numbers x by small integers q: x ~ scale * q - min. Minimises sum w (x - scale * q +
// min)^2, where w is the weight of x (weighted least squares). For given q, the normal equations give the
// best scale and minimum; several candidates are tried because rounding to q depends on them.
//
// All arithmetic is fp32 in a fixed order: results depend on the arguments alone, on every processor.
#pragma once

#include <cstdint>
#include <span>

namespace deeprack {

struct LevelRange {
  int lowest = 0;   // at most 0
  int highest = 0;  // at least 1
};

// A scale and a minimum. `min` is 0 for a format without minima.
struct Affine {
  float scale = 0;
  float min = 0;
};

// The integer nearest to (x + min) / scale, clamped to `levels`. When scale is 0: 0.
int NearestLevel(float x, Affine affine, LevelRange levels);

// Sums over a group for one candidate, with q = NearestLevel(x, ...) and r = x - scale * q + min: the terms
// of the normal equations.
struct Residuals {
  float rr = 0;  // sum w r r: the error
  float r = 0;   // sum w r
  float rq = 0;  // sum w r q
  float q = 0;   // sum w q
  float qq = 0;  // sum w q q
};

// Number of candidates that TryAffines tries in one call.
inline constexpr int kTrials = 16;

// residuals[t] gets the sums of candidates[t] over all values. `values` and `weights` have the same size.
void TryAffines(std::span<const float> values, std::span<const float> weights, LevelRange levels,
                const Affine (&candidates)[kTrials], Residuals (&residuals)[kTrials]);

// The scale that fits best with min = 0. The scale may be negative when `levels` has negative levels.
float FitScale(std::span<const float> values, std::span<const float> weights, LevelRange levels);

// The scale and the minimum (at least 0) that fit best with levels 0..highest.
Affine FitAffine(std::span<const float> values, std::span<const float> weights, int highest);

}  // namespace deeprack
