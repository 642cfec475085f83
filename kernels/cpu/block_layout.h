// The layout of a packed block: one block (base/block_formats.h) of each of a panel's 16 rows, with the bits
// of the source. A register of 64 bytes is 16 rows x 4 columns, with one 32-bit lane a row, as byte dot
// products read it.
//
// Values are unsigned (with the format's own offset, or 128 for signed bytes) and split into a plane of low
// bits and a plane of high bits. Columns 4 j to 4 j + 3 of all rows are quad j. A plane of b bits keeps 8 / b
// neighbouring quads in one register, the first in the lowest bits of each byte.
//
// Integer scales and minima are quads too: lane = row, byte = group % 4. 6-bit quads u0..u3 lie in three
// registers: u0, u1, u2 in the low six bits, and bits 2 i and 2 i + 1 of u3 above ui. d, m and INT*_G128's
// scales and zeros are 16 neighbouring values.
#pragma once

#include <cstdint>

#include "base/block_formats.h"

namespace deeprack::kernels {

struct BlockLayout {
  int low_bits = 0;   // plane at offset 0
  int high_bits = 0;  // none: 0
  int64_t high = 0;
  int64_t scales = 0;  // integer scales and minima
  int64_t d = 0;       // f16; INT*_G128: fp32
  int64_t m = 0;       // f16; INT4_G128: the zeros, one byte each
};

constexpr BlockLayout LayoutOf(DType type) {
  switch (type) {
    case DType::kQ4_0:
      return {.low_bits = 4, .d = 256};
    case DType::kQ4_1:
      return {.low_bits = 4, .d = 256, .m = 288};
    case DType::kQ5_0:
      return {.low_bits = 4, .high_bits = 1, .high = 256, .d = 320};
    case DType::kQ5_1:
      return {.low_bits = 4, .high_bits = 1, .high = 256, .d = 320, .m = 352};
    case DType::kQ8_0:
      return {.low_bits = 8, .d = 512};
    case DType::kQ2K:  // scale in the low nibble, minimum in the high one
      return {.low_bits = 2, .scales = 1024, .d = 1280, .m = 1312};
    case DType::kQ3K:  // 6-bit quads of scales + 32
      return {.low_bits = 2, .high_bits = 1, .high = 1024, .scales = 1536, .d = 1728};
    case DType::kQ4K:  // 6-bit quads: scales 0..3, scales 4..7, minima 0..3, minima 4..7
      return {.low_bits = 4, .scales = 2048, .d = 2240, .m = 2272};
    case DType::kQ5K:
      return {.low_bits = 4, .high_bits = 1, .high = 2048, .scales = 2560, .d = 2752, .m = 2784};
    case DType::kQ6K:  // signed bytes
      return {.low_bits = 4, .high_bits = 2, .high = 2048, .scales = 3072, .d = 3328};
    case DType::kInt4G128:
      return {.low_bits = 4, .d = 1024, .m = 1088};
    case DType::kInt8G128:
      return {.low_bits = 8, .d = 2048};
    default:
      return {};
  }
}

}  // namespace deeprack::kernels
