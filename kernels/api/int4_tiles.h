// int4 weights in tiles (WeightLayout::kTiles, kTilesForE4M3). A tile is 128 rows x 128 columns, which is one
// group of columns. A tile is contiguous, so one copy moves it, and is in the order of the registers of
// Hopper's products. value = (q - zero) * scale.
//
// A tile is 128 fp32 scales, 128 bytes of zeros, then 8192 bytes of values. For each of 8 panels of 16 rows,
// each half of 64 columns and each lane of a warp there are 16 bytes: the lane's operand fragments
// (kernels/cuda/sm90/isa/layout.h).
//
// kTiles, for bf16 activations: for each of the half's 4 steps of 16 columns, one word with the lane's 8
// values. Nibble j of the word (bits 4j to 4j + 3) is the even column of fragment register j, and nibble j +
// 4 the odd column. So one shift and one mask put both values where a pair of bf16 needs them.
//
// kTilesForE4M3, for e4m3 activations: for each of the half's 2 steps of 32 columns, two words. Word p holds
// fragment registers p and p + 2; byte i belongs to column i of the register's four columns. A value is
// stored as the sign and the magnitude of 2 * (q - 7.5), an odd number up to 15. As an e4m3 byte, the 4 bits
// of that number are the number times 2^-9, so a mask and a set lowest bit turn a value into an exact
// operand. Int4Byte places the bits so that the first register needs no shift.
#pragma once

#include <cstdint>

#include "base/weight_geometry.h"

namespace deeprack::kernels {

inline constexpr int kInt4Lanes = 32;  // of a warp
inline constexpr int64_t kInt4ZeroOffset = kInt4TileRows * 4;
inline constexpr int64_t kInt4ValueOffset = kInt4ZeroOffset + kInt4TileRows;
static_assert(kInt4TileBytes == kInt4ValueOffset + kInt4TileRows * 64);

// kTiles: the nibble of a tile's values that holds element (row, column), both below 128. Nibble i is in byte
// i / 2; the low nibble comes first.
constexpr int64_t Int4Nibble(int row, int column) {
  const int panel = row / 16, half = column / 64, step = column % 64 / 16;
  const int lane = row % 8 * 4 + column % 8 / 2;
  const int j =
      row % 16 / 8 + column % 16 / 8 * 2;  // fragment register: the row's half, then the column's half
  return (((panel * 2 + half) * kInt4Lanes + lane) * 4 + step) * 8 + j + column % 2 * 4;
}

// kTilesForE4M3: the byte of a tile's values that holds element (row, column), and whether the element is the
// second of the byte's two.
struct Int4Place {
  int64_t byte;
  bool second;
};
constexpr Int4Place PlaceInt4(int row, int column) {
  const int panel = row / 16, half = column / 64, step = column % 64 / 32;
  const int lane = row % 8 * 4 + column % 16 / 4;
  const int word = step * 2 + row % 16 / 8;
  return {(((int64_t{panel} * 2 + half) * kInt4Lanes + lane) * 4 + word) * 4 + column % 4,
          column % 32 / 16 != 0};
}
// The bits of q in its byte: sign in 7 and magnitude in 3..1, or sign in 0 and magnitude in 6..4.
constexpr uint8_t Int4Byte(int q, bool second) {
  const int sign = q < 8 ? 1 : 0, magnitude = q < 8 ? 7 - q : q - 8;
  return static_cast<uint8_t>(second ? sign | magnitude << 4 : sign << 7 | magnitude << 1);
}
constexpr int Int4Value(uint8_t byte, bool second) {
  const int magnitude = (second ? byte >> 4 : byte >> 1) & 7;
  return ((second ? byte : byte >> 7) & 1) != 0 ? 7 - magnitude : magnitude + 8;
}
constexpr uint8_t Int4ByteMask(bool second) { return second ? 0x71 : 0x8e; }
inline constexpr float kInt4Center = 7.5f;
inline constexpr float kInt4Unit = 256.0f;  // q - 7.5 = kInt4Unit * the e4m3 operand

}  // namespace deeprack::kernels
