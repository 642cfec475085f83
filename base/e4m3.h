// Conversion of fp32 values to e4m3, and the scales by which values are divided before the conversion.
#pragma once

#include <bit>
#include <cstdint>

#include "base/dtype.h"

namespace deeprack {

inline constexpr float kLargestE4M3 = 448.0f;

// Gives the bits of the GPU instruction cvt.rn.satfinite: rounds to nearest, ties to even; a magnitude beyond
// 448 becomes 448; NaN stays NaN.
constexpr fp8_e4m3 ToE4M3(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint8_t>(bits >> 24 & 0x80u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return {static_cast<uint8_t>(sign | 0x7f)};
  if (magnitude >= std::bit_cast<uint32_t>(kLargestE4M3)) return {static_cast<uint8_t>(sign | 0x7e)};
  if (magnitude < std::bit_cast<uint32_t>(0x1p-6f)) {
    // Subnormal e4m3: multiples of 2^-9. Floats from 2^14 on are 2^-9 apart, so adding 2^14 rounds.
    const float rounded = std::bit_cast<float>(magnitude) + 0x1p14f;
    return {static_cast<uint8_t>(sign | (std::bit_cast<uint32_t>(rounded) & 0xfu))};
  }
  const uint32_t rounded = magnitude + 0x7ffffu + (magnitude >> 20 & 1u);
  return {static_cast<uint8_t>(sign | ((rounded >> 20) - (120u << 3)))};
}

// Scales are powers of two, so dividing by a scale and multiplying by it again rounds nothing but subnormals.
constexpr int kSmallestScaleExponent = -32;  // the scale of values that are all near zero
// 2^exponent, which must be a normal fp32 number.
constexpr float PowerOfTwo(int exponent) {
  return std::bit_cast<float>(static_cast<uint32_t>(exponent + 127) << 23);
}
constexpr int ExponentOf(float power) { return static_cast<int>(std::bit_cast<uint32_t>(power) >> 23) - 127; }
// The smallest exponent e, at least kSmallestScaleExponent, for which largest / 2^e is at most 448. `largest`
// must not be negative. 120 for infinity.
constexpr int ScaleExponent(float largest) {
  const uint32_t bits = std::bit_cast<uint32_t>(largest);
  const int over = (bits & 0x7fffffu) > (std::bit_cast<uint32_t>(kLargestE4M3) & 0x7fffffu) ? 1 : 0;
  const int exponent = static_cast<int>(bits >> 23) - 127 - 8 + over;
  return exponent < kSmallestScaleExponent ? kSmallestScaleExponent : exponent;
}

}  // namespace deeprack
