// Arithmetic on sizes that come from a file, the network or a user. CheckedMul and CheckedProduct return
// nullopt on overflow.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace deeprack {

constexpr std::optional<int64_t> CheckedMul(int64_t a, int64_t b) {
  int64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}

// The product of all dimensions. nullopt when a dimension is negative or the product overflows.
constexpr std::optional<int64_t> CheckedProduct(std::span<const int64_t> dimensions) {
  int64_t product = 1;
  for (int64_t dimension : dimensions) {
    if (dimension < 0 || __builtin_mul_overflow(product, dimension, &product)) return std::nullopt;
  }
  return product;
}

constexpr int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t RoundUp(int64_t a, int64_t multiple) { return CeilDiv(a, multiple) * multiple; }

}  // namespace deeprack
