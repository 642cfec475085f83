// How a group of real numbers is best said in small integers: x ~ scale * q - min, q from a few levels. The
// measure is sum w (x - scale * q + min)^2 with a weight for each number. (Weighted least squares: for given
// q the best scale and minimum follow from the normal equations; what is searched is the rounding.)
//
// Everything is fp32 in a fixed order: results depend on the arguments alone, on every processor.
#pragma once

#include <cstdint>
#include <span>

namespace deeprack {

struct LevelRange {
  int lowest = 0;   // at most 0
  int highest = 0;  // at least 1
};

// Scale and minimum that stand at trial; min is 0 where a format has none.
struct Affine {
  float scale = 0;
  float min = 0;
};

// The integer nearest (x + min) / scale within the levels; 0 when scale is 0.
int NearestLevel(float x, Affine affine, LevelRange levels);

// What is left with q = NearestLevel(x, ...), r = x - scale * q + min: the terms of the normal equations.
struct Residuals {
  float rr = 0;  // sum w r r: the error
  float r = 0;   // sum w r
  float rq = 0;  // sum w r q
  float q = 0;   // sum w q
  float qq = 0;  // sum w q q
};

// Candidates are tried so many at a time.
inline constexpr int kTrials = 16;

// The residuals of each candidate, over all values.
void TryAffines(std::span<const float> values, std::span<const float> weights, LevelRange levels,
                const Affine (&candidates)[kTrials], Residuals (&residuals)[kTrials]);

// The scale, of either sign where both signs of level exist, that fits with min = 0.
float FitScale(std::span<const float> values, std::span<const float> weights, LevelRange levels);

// Scale and a minimum of at least 0; levels from 0.
Affine FitAffine(std::span<const float> values, std::span<const float> weights, int highest);

}  // namespace deeprack
