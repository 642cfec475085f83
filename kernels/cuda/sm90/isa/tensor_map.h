// Descriptions of matrices in device memory that the copy engine (TMA) reads tiles of.
#pragma once

#include <cstdint>

#include "base/dtype.h"

namespace deeprack::kernels::sm90 {

// A tensor of three dimensions, innermost first, and the box that one copy brings. Elements outside the
// tensor read as zero. Unused dimensions have size and box 1. A stride is at least what the dimensions below
// it span.
struct TensorMapSpec {
  const void* base = nullptr;          // multiple of 16
  int64_t sizes[3] = {1, 1, 1};        // elements, 1 to 2^32
  int64_t stride_bytes[2] = {16, 16};  // of dimensions 1 and 2: multiples of 16 below 2^40
  int32_t box[3] = {1, 1,
                    1};  // elements, 1 to 256; box[0] in bytes: a multiple of 16, at most 128 when swizzled
  DType type = DType::kBF16;  // kF8E4M3 or kU8, kBF16, kF32
  bool swizzle = false;       // the 128-byte swizzle
};

// nullptr, or which of the rules above is broken.
const char* WhatIsWrong(const TensorMapSpec& spec);

// CUtensorMap, opaque: 128 bytes, to be passed to kernels as a __grid_constant__ parameter or from device
// memory. The host's emulation keeps the TensorMapSpec in it.
struct alignas(64) TensorMap {
  uint64_t words[16] = {};
};

// The spec must be right (WhatIsWrong), which is checked. Asks the driver through the runtime: libcuda need
// not be linked.
TensorMap EncodeTensorMap(const TensorMapSpec& spec);

// A row-major matrix [rows, cols] with its row stride in elements, in boxes of box_cols x box_rows.
constexpr TensorMapSpec MatrixMap(const void* base, DType type, int64_t rows, int64_t cols,
                                  int64_t row_stride, int32_t box_rows, int32_t box_cols, bool swizzle) {
  const auto size = static_cast<int64_t>(SizeOf(type));
  return {base, {cols, rows, 1}, {row_stride * size, row_stride * size * rows}, {box_cols, box_rows, 1},
          type, swizzle};
}

}  // namespace deeprack::kernels::sm90
