// Random numbers from a generator of the standard library, alike on every machine. The standard library's
// own distributions differ from one implementation to the next.
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>
#include <random>

namespace deeprack::coordinator::sim {

// From [low, high].
inline int32_t Draw(std::mt19937_64& random, int32_t low, int32_t high) {
  return low + static_cast<int32_t>(random() % static_cast<uint64_t>(high - low + 1));
}

inline bool OneIn(std::mt19937_64& random, int32_t n) { return Draw(random, 1, n) == 1; }

// From (0, 1].
inline double DrawUnit(std::mt19937_64& random) {
  return (static_cast<double>(random() >> 11) + 1) * 0x1p-53;
}

// Of mean 0 and variance 1, by Box and Muller's transform.
inline double DrawNormal(std::mt19937_64& random) {
  const double radius = std::sqrt(-2 * std::log(DrawUnit(random)));
  return radius * std::cos(2 * std::numbers::pi * DrawUnit(random));
}

// Of mean 1. `shape` 1 is the exponential distribution; smaller shapes give bursts. By Marsaglia and Tsang's
// method, with Stuart's theorem for shapes below 1.
inline double DrawGamma(std::mt19937_64& random, double shape) {
  const double d = shape + (shape < 1 ? 1 : 0) - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  for (;;) {
    const double x = DrawNormal(random), v = (1 + c * x) * (1 + c * x) * (1 + c * x);
    if (v <= 0 || std::log(DrawUnit(random)) >= x * x / 2 + d - d * v + d * std::log(v)) continue;
    const double gamma = shape < 1 ? d * v * std::pow(DrawUnit(random), 1 / shape) : d * v;
    return gamma / shape;
  }
}

}  // namespace deeprack::coordinator::sim
