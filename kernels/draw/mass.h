// The arithmetic of a draw, which all backends share. Masses are whole numbers, so sums of masses are the
// same in any order and every backend draws the same token from the same weights.
#pragma once

#include <cstdint>

#include "kernels/draw/philox.h"

namespace deeprack::kernels {

// The weight of a token, exp((logit - largest) / temperature), in units of 2^-32 of the likeliest token's
// weight, rounded down. The sum over a vocabulary is exact in 64 bits and, below 2^21 tokens, in a double.
using Mass = uint64_t;

// The mass of a weight in [0, 1]. NaN has mass 0.
constexpr Mass MassOf(float weight) { return weight > 0 ? static_cast<Mass>(weight * 0x1p32f) : 0; }

// The least mass of a set of tokens with the share top_p of `total`.
constexpr Mass NeededMass(float top_p, Mass total) {
  const double share = static_cast<double>(top_p) * static_cast<double>(total);
  const Mass below = static_cast<Mass>(share);
  return static_cast<double>(below) < share ? below + 1 : below;
}

// A draw takes the first token at which the running sum of masses exceeds this mass. The result is below
// `total` if total > 0.
constexpr Mass DrawnMass(uint64_t seed, uint64_t position, Mass total) {
  return static_cast<Mass>(UniformDraw(seed, position) * static_cast<double>(total));
}

// Below this temperature a draw takes the largest logit, since 1 / temperature might not be finite.
inline constexpr float kGreedyTemperature = 1e-5f;

}  // namespace deeprack::kernels
