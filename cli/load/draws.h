// Random numbers of a load test. The same seed gives the same numbers on every machine. Pure.
#pragma once

#include <cstdint>
#include <random>

namespace deeprack::cli {

// A seed for one purpose, made of a seed and two numbers that name the purpose.
uint64_t MixSeed(uint64_t seed, uint64_t first, uint64_t second = 0);

class Draws {
 public:
  explicit Draws(uint64_t seed) : engine_(seed) {}

  double Uniform();                 // from [0, 1)
  uint64_t Below(uint64_t count);   // from 0 to count - 1; count >= 1
  double Exponential(double mean);  // mean >= 0; 0 gives 0
  double Gamma(double shape);       // scale 1, so the mean is `shape`; shape > 0

 private:
  double Normal();

  std::mt19937_64 engine_;
};

}  // namespace deeprack::cli
