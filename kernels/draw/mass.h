// The arithmetic of a draw, one for every backend: masses are whole numbers, so that sums of them are the
// same in any order and every backend draws the same token from the same weights.
#pragma once

#include <cstdint>

#include "kernels/draw/philox.h"

namespace deeprack::kernels {

// The weight of a token, exp((logit - largest) / temperature), in units of 2^-32 of the likeliest one's,
// rounded down: a vocabulary's sum is exact in 64 bits and, below 2^21 tokens, in a double.
using Mass = uint64_t;

// A weight in [0, 1]; NaN has no mass.
constexpr Mass MassOf(float weight) { return weight > 0 ? static_cast<Mass>(weight * 0x1p32f) : 0; }

// The mass that the smallest set of at least this share of `total` has at least.
constexpr Mass NeededMass(float top_p, Mass total) {
  const double share = static_cast<double>(top_p) * static_cast<double>(total);
  const Mass below = static_cast<Mass>(share);
  return static_cast<double>(below) < share ? below + 1 : below;
}

// A draw takes the first token at which the running sum of masses exceeds this; below `total`, unless that is
// 0.
constexpr Mass DrawnMass(uint64_t seed, uint64_t position, Mass total) {
  return static_cast<Mass>(UniformDraw(seed, position) * static_cast<double>(total));
}

// Below this temperature a draw is the largest logit: one divided by it would not be safely finite.
inline constexpr float kGreedyTemperature = 1e-5f;

}  // namespace deeprack::kernels
