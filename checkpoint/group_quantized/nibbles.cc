#include "checkpoint/group_quantized/nibbles.h"

#include <cstring>

#include "base/check.h"
#include "base/checked.h"

namespace deeprack::checkpoint {
namespace {

constexpr int64_t kWordValues = 8;
constexpr int64_t kWordBytes = 4;
constexpr int kAwqShift[kWordValues] = {0, 16, 4,  20,
                                        8, 24, 12, 28};  // [row % 8]: bits to shift a word right

uint32_t Word(const std::byte* words, int64_t index) {
  uint32_t word;
  std::memcpy(&word, words + index * kWordBytes, sizeof(word));
  return word;
}

// The eight values of a word as eight bytes, the lowest bits first.
uint64_t Spread(uint32_t word) {
  uint64_t bytes = word;
  bytes = (bytes | bytes << 16) & 0x0000ffff0000ffff;
  bytes = (bytes | bytes << 8) & 0x00ff00ff00ff00ff;
  return (bytes | bytes << 4) & 0x0f0f0f0f0f0f0f0f;
}

void UnpackColumnOctets(const NibbleMatrix& matrix, const NibbleTile& tile, uint8_t* out) {
  const auto [row, rows, col, cols] = tile;
  // The inner loop reads consecutive words of the file, in either order of the matrix.
  const bool lines_of_rows = matrix.row_stride < matrix.col_stride;
  const int64_t words = CeilDiv(cols, kWordValues);
  const int64_t outer = lines_of_rows ? words : rows;
  const int64_t inner = lines_of_rows ? rows : words;
  const int64_t outer_stride = lines_of_rows ? matrix.col_stride : matrix.row_stride;
  const int64_t inner_stride = lines_of_rows ? matrix.row_stride : matrix.col_stride;
  const int64_t outer_out = lines_of_rows ? kWordValues : kTileCols;
  const int64_t inner_out = lines_of_rows ? kTileCols : kWordValues;
  const int64_t first = row * matrix.row_stride + col / kWordValues * matrix.col_stride;
  for (int64_t i = 0; i < outer; ++i) {
    const std::byte* from = matrix.words + (first + i * outer_stride) * kWordBytes;
    uint8_t* to = out + i * outer_out;
    for (int64_t j = 0; j < inner; ++j) {
      const uint64_t bytes = Spread(Word(from, j * inner_stride));
      std::memcpy(to + j * inner_out, &bytes, sizeof(bytes));
    }
  }
}

void UnpackRowOctets(const NibbleMatrix& matrix, const NibbleTile& tile, uint8_t* out) {
  const auto [row, rows, col, cols] = tile;
  const bool awq = matrix.octet == Octet::kRowsAwq;
  const int64_t first = row / kWordValues;
  const int64_t octets = CeilDiv(row + rows, kWordValues) - first;
  // First copies the words, transposed, in the order of the file. Reading them directly would be slow: when a
  // line of the file is a power of two long, its lines evict each other from the cache.
  constexpr int64_t kOctets = kTileRows / kWordValues + 1;
  uint32_t turned[kOctets * kTileCols];
  for (int64_t c = 0; c < cols; ++c) {
    for (int64_t o = 0; o < octets; ++o) {
      turned[o * kTileCols + c] =
          Word(matrix.words, (first + o) * matrix.row_stride + (col + c) * matrix.col_stride);
    }
  }
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t in_word = (row + r) % kWordValues;
    const int shift = awq ? kAwqShift[in_word] : static_cast<int>(4 * in_word);
    const uint32_t* words = turned + ((row + r) / kWordValues - first) * kTileCols;
    uint8_t* to = out + r * kTileCols;
    for (int64_t c = 0; c < cols; ++c) to[c] = static_cast<uint8_t>(words[c] >> shift & 15);
  }
}

}  // namespace

void UnpackNibbles(const NibbleMatrix& matrix, const NibbleTile& tile, uint8_t* out) {
  DR_CHECK(tile.rows <= kTileRows && tile.cols <= kTileCols && tile.col % kWordValues == 0);
  if (matrix.octet == Octet::kColumns) {
    UnpackColumnOctets(matrix, tile, out);
  } else {
    UnpackRowOctets(matrix, tile, out);
  }
}

}  // namespace deeprack::checkpoint
