// Matrices of 4-bit values, eight in an int32 word, in the orders of AWQ, GPTQ and compressed-tensors.
#pragma once

#include <cstddef>
#include <cstdint>

namespace deeprack::checkpoint {

// The eight elements of a word: eight rows of one column (kRows, kRowsAwq) or eight columns of one row
// (kColumns).
enum class Octet : uint8_t { kRows, kRowsAwq, kColumns };

// The number of the word that holds element (row, col):
// kRows, kRowsAwq: row / 8 * row_stride + col * col_stride
// kColumns:        row * row_stride + col / 8 * col_stride
// A word's values are stored from the lowest bits up, in the order of rows (kRows) or columns (kColumns); in
// kRowsAwq in the order of rows 0 2 4 6 1 3 5 7. Words are little-endian and may have any alignment.
struct NibbleMatrix {
  const std::byte* words = nullptr;
  int64_t row_stride = 0;
  int64_t col_stride = 0;
  Octet octet = Octet::kColumns;
};

inline constexpr int64_t kTileRows = 128;
inline constexpr int64_t kTileCols = 128;

// A part of a matrix: rows [row, row + rows) and columns [col, col + cols), at most kTileRows and kTileCols.
// `col` is a multiple of 8.
struct NibbleTile {
  int64_t row = 0;
  int64_t rows = 0;
  int64_t col = 0;
  int64_t cols = 0;
};

// Writes element (r, c) of the tile to out[r * kTileCols + c]. Overwrites each row of `out` up to the next
// multiple of 8 after tile.cols.
void UnpackNibbles(const NibbleMatrix& matrix, const NibbleTile& tile, uint8_t* out);

}  // namespace deeprack::checkpoint
