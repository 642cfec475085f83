#include "worker/weights/finite_check.h"

#include <cstddef>

#include "base/block_formats.h"

namespace deeprack::worker {
namespace {

// In each of these formats a value is not finite exactly if all bits of `mask` are set.
template <class Bits>
bool NoneFull(const void* data, int64_t rows, int64_t cols, int64_t row_stride, Bits mask) {
  for (int64_t row = 0; row < rows; ++row) {
    const Bits* values = static_cast<const Bits*>(data) + row * row_stride;
    bool found = false;
    for (int64_t col = 0; col < cols; ++col) found |= (values[col] & mask) == mask;
    if (found) return false;
  }
  return true;
}

bool RowsOfBlocksAreFinite(DType type, const void* data, int64_t rows, int64_t cols, int64_t row_stride) {
  for (int64_t row = 0; row < rows; ++row) {
    const std::byte* blocks = static_cast<const std::byte*>(data) + row * BytesOf(type, row_stride);
    if (!BlocksAreFinite(type, blocks, cols)) return false;
  }
  return true;
}

}  // namespace

bool AllFinite(DType type, const void* data, int64_t rows, int64_t cols, int64_t row_stride) {
  switch (type) {
    case DType::kF32:
      return NoneFull<uint32_t>(data, rows, cols, row_stride, 0x7f800000u);
    case DType::kBF16:
      return NoneFull<uint16_t>(data, rows, cols, row_stride, 0x7f80u);
    case DType::kF16:
      return NoneFull<uint16_t>(data, rows, cols, row_stride, 0x7c00u);
    case DType::kF8E4M3:
      return NoneFull<uint8_t>(data, rows, cols, row_stride, 0x7fu);
    case DType::kI64:
    case DType::kI32:
    case DType::kU8:
      return true;
    default:
      return RowsOfBlocksAreFinite(type, data, rows, cols, row_stride);
  }
}

}  // namespace deeprack::worker
