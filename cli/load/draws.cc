#include "cli/load/draws.h"

#include <cmath>
#include <numbers>

namespace deeprack::cli {
namespace {

// The finaliser of splitmix64: every bit of the input changes half of the output's bits.
uint64_t Scatter(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

}  // namespace

uint64_t MixSeed(uint64_t seed, uint64_t first, uint64_t second) {
  return Scatter(Scatter(Scatter(seed) ^ first) ^ second);
}

double Draws::Uniform() { return static_cast<double>(engine_() >> 11) * 0x1p-53; }

uint64_t Draws::Below(uint64_t count) { return engine_() % count; }

double Draws::Exponential(double mean) { return -mean * std::log1p(-Uniform()); }

double Draws::Normal() {
  const double radius = std::sqrt(-2 * std::log1p(-Uniform()));
  return radius * std::cos(2 * std::numbers::pi * Uniform());
}

// Marsaglia and Tsang, "A simple method for generating gamma variables" (2000). A shape below 1 is drawn with
// shape + 1 and multiplied by a power of a uniform number.
double Draws::Gamma(double shape) {
  if (shape < 1) {
    const double larger = Gamma(shape + 1);
    return larger * std::pow(1 - Uniform(), 1 / shape);
  }
  const double d = shape - 1.0 / 3;
  const double c = 1 / std::sqrt(9 * d);
  for (;;) {
    const double x = Normal();
    const double v = std::pow(1 + c * x, 3);
    if (v <= 0) continue;
    if (std::log1p(-Uniform()) < x * x / 2 + d - d * v + d * std::log(v)) return d * v;
  }
}

}  // namespace deeprack::cli
