// Matrices of 4-bit values, eight in an int32 word, in the orders that AWQ, GPTQ and compressed-tensors use.
#pragma once

#include <cstddef>
#include <cstdint>

namespace deeprack::checkpoint {

enum class Octet : uint8_t { kRows, kRowsAwq, kColumns };

// The word of element (row, col) is number row / 8 * row_stride + col * col_stride (kRows, kRowsAwq: a word
// holds eight rows of one column), or row * row_stride + col / 8 * col_stride (kColumns). Its values lie from
// the lowest bits up; kRowsAwq: those of rows 0 2 4 6 1 3 5 7. Words are little-endian at any address.
struct NibbleMatrix {
  const std::byte* words = nullptr;
  int64_t row_stride = 0;
  int64_t col_stride = 0;
  Octet octet = Octet::kColumns;
};

inline constexpr int64_t kTileRows = 128;
inline constexpr int64_t kTileCols = 128;

// Elements (row + r, col + c), 0 <= r < rows <= kTileRows, 0 <= c < cols <= kTileCols, to out[r * kTileCols +
// c]. col is a multiple of 8; what lies in out up to the next multiple of 8 after cols is overwritten.
void UnpackNibbles(const NibbleMatrix& matrix, int64_t row, int64_t rows, int64_t col, int64_t cols,
                   uint8_t* out);

}  // namespace deeprack::checkpoint
