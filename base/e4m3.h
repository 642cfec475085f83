// Conversion to e4m3, as the cards' cvt.rn.satfinite does it: to nearest, ties to even; beyond 448 the
// largest value; NaN stays NaN. And the scales that values are divided by before it.
#pragma once

#include <bit>
#include <cstdint>

#include "base/dtype.h"

namespace deeprack {

inline constexpr float kLargestE4M3 = 448.0f;

constexpr fp8_e4m3 ToE4M3(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint8_t>(bits >> 24 & 0x80u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return {static_cast<uint8_t>(sign | 0x7f)};
  if (magnitude >= std::bit_cast<uint32_t>(kLargestE4M3)) return {static_cast<uint8_t>(sign | 0x7e)};
  if (magnitude <
      std::bit_cast<uint32_t>(0x1p-6f)) {  // subnormal: a multiple of 2^-9; the sum with 2^14 rounds to it
    const float rounded = std::bit_cast<float>(magnitude) + 0x1p14f;
    return {static_cast<uint8_t>(sign | (std::bit_cast<uint32_t>(rounded) & 0xfu))};
  }
  const uint32_t rounded = magnitude + 0x7ffffu + (magnitude >> 20 & 1u);
  return {static_cast<uint8_t>(sign | ((rounded >> 20) - (120u << 3)))};
}

// Scales that are powers of two: they cost e4m3 no bit, and what is divided by one stays exact.
constexpr int kSmallestScaleExponent = -32;  // of blocks whose values are as good as zero
constexpr float PowerOfTwo(int exponent) {   // of a normal number
  return std::bit_cast<float>(static_cast<uint32_t>(exponent + 127) << 23);
}
constexpr int ExponentOf(float power) { return static_cast<int>(std::bit_cast<uint32_t>(power) >> 23) - 127; }
// The exponent of the smallest such scale for which values up to `largest` are within e4m3.
constexpr int ScaleExponent(float largest) {
  const uint32_t bits = std::bit_cast<uint32_t>(largest);
  const int over = (bits & 0x7fffffu) > (std::bit_cast<uint32_t>(kLargestE4M3) & 0x7fffffu) ? 1 : 0;
  const int exponent = static_cast<int>(bits >> 23) - 127 - 8 + over;
  return exponent < kSmallestScaleExponent ? kSmallestScaleExponent : exponent;  // 120 for infinity
}

}  // namespace deeprack
