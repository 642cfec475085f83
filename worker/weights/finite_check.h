// Finds NaN and infinity among weights: signs of a damaged file.
#pragma once

#include <cstdint>

#include "base/dtype.h"

namespace deeprack::worker {

// True when every element of a row-major matrix [rows, cols] is finite. `row_stride`: elements from row to
// row. fp8 e4m3: no byte is 0x7f or 0xff. Integers are always finite. Block formats (cols and row_stride are
// whole blocks): the scales are finite.
bool AllFinite(DType type, const void* data, int64_t rows, int64_t cols, int64_t row_stride);

}  // namespace deeprack::worker
