// The arithmetic of products with block formats.
//
// Rows of x are quantised to int8, `step` columns at a time: scale = absmax / 127, q = x / scale rounded to
// nearest, ties to even. For a step of W's row n,
//
//   dot[g] = sum over the columns k of group g of (u[n, k] - offset) * q[k]      an exact integer
//   I      = sum over groups ascending of s[n, g] * dot[g]                       fp32, fused; one group: dot
//   sum    = fma(fma(m[n], M, d[n] * I), scale, sum)                             fp32, steps ascending
//
// M, the factor of the minimum, is an exact integer too; formats without minima have no such fma. Only
// integers may be added in any order, and integer sums are exact, so every order gives the same bits.
#pragma once

#include "kernels/cpu/block_layout.h"

namespace deeprack::kernels {

enum class Minimum : uint8_t {
  kNone,
  kOfBlock,    // Q4_1, Q5_1: M = sum of q over the step
  kOfGroups,   // M = sum over groups of -min[n, g] * sum of q over g
  kZeroPoint,  // INT4_G128: no M; I loses zero[n] * sum of q
};

struct BlockForm {
  int elements;     // in a block
  int step;         // columns that share a scale of x; divides elements
  int group;        // columns that share an integer scale: 16, 32, or 0 for none
  bool has_offset;  // OffsetOf(type) is subtracted from the unsigned values
  bool is_wide;     // unsigned values exceed 127; the offset is then 128
  Minimum minimum;
  bool scales_are_signed;
  bool scales_are_f32;

  // Integers that accompany a step of a quantised row.
  constexpr int sums() const {
    if (minimum == Minimum::kOfGroups) return step / group / 2;
    return group != 0 && has_offset ? step / group : 1;
  }
};

constexpr BlockForm FormOf(DType type) {
  switch (type) {
    case DType::kQ4_0:
    case DType::kQ5_0:
      return {.elements = 32, .step = 32, .has_offset = true};
    case DType::kQ8_0:
      return {.elements = 32, .step = 32, .has_offset = true, .is_wide = true};
    case DType::kQ4_1:
    case DType::kQ5_1:
      return {.elements = 32, .step = 32, .minimum = Minimum::kOfBlock};
    case DType::kQ2K:
      return {.elements = 256, .step = 128, .group = 16, .minimum = Minimum::kOfGroups};
    case DType::kQ3K:
    case DType::kQ6K:
      return {.elements = 256, .step = 128, .group = 16, .has_offset = true, .scales_are_signed = true};
    case DType::kQ4K:
    case DType::kQ5K:
      return {.elements = 256, .step = 256, .group = 32, .minimum = Minimum::kOfGroups};
    case DType::kInt4G128:
      return {.elements = 128, .step = 128, .minimum = Minimum::kZeroPoint, .scales_are_f32 = true};
    default:  // INT8_G128
      return {.elements = 128, .step = 128, .has_offset = true, .is_wide = true, .scales_are_f32 = true};
  }
}

// The number that is subtracted from the unsigned values.
constexpr int OffsetOf(DType type) {
  switch (type) {
    case DType::kQ3K:
      return 4;
    case DType::kQ4_0:
      return 8;
    case DType::kQ5_0:
      return 16;
    case DType::kQ6K:
      return 32;
    case DType::kQ8_0:
    case DType::kInt8G128:
      return 128;
    default:
      return 0;
  }
}

// A step of a quantised row. Its sums:
//   offset, no groups   { -offset * sum of q }
//   offset, groups      { -offset * sum of q over the group } for each group
//   kOfBlock            { the sum of q as fp32 }
//   kZeroPoint          { -sum of q }
//   kOfGroups           for each quad of groups, with s = -sum of q, the bytes { s >> 6 }, then { s & 63 }:
//   as |s|
//                       <= 32 * 127 both are int8, and a quad of minima times them is two byte dot products
template <BlockForm kForm>
struct QuantizedStep {
  int8_t q[kForm.step];
  float scale;
  int32_t sums[kForm.sums()];
};

// Calls f(BlockType<T>{}) with the block format T = type.
template <DType kType>
struct BlockType {
  static constexpr DType kValue = kType;
};
template <class F>
[[gnu::always_inline]] inline void DispatchBlockType(DType type, F f) {
  switch (type) {
    case DType::kQ4_0:
      return f(BlockType<DType::kQ4_0>{});
    case DType::kQ4_1:
      return f(BlockType<DType::kQ4_1>{});
    case DType::kQ5_0:
      return f(BlockType<DType::kQ5_0>{});
    case DType::kQ5_1:
      return f(BlockType<DType::kQ5_1>{});
    case DType::kQ8_0:
      return f(BlockType<DType::kQ8_0>{});
    case DType::kQ2K:
      return f(BlockType<DType::kQ2K>{});
    case DType::kQ3K:
      return f(BlockType<DType::kQ3K>{});
    case DType::kQ4K:
      return f(BlockType<DType::kQ4K>{});
    case DType::kQ5K:
      return f(BlockType<DType::kQ5K>{});
    case DType::kQ6K:
      return f(BlockType<DType::kQ6K>{});
    case DType::kInt4G128:
      return f(BlockType<DType::kInt4G128>{});
    default:
      return f(BlockType<DType::kInt8G128>{});
  }
}

}  // namespace deeprack::kernels
