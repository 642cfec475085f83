// Finds weights that no training can have meant: NaN and infinity.
#pragma once

#include <cstdint>

#include "base/dtype.h"

namespace deeprack::worker {

// Whether every element of a row-major matrix (row_stride elements from row to row) is finite. For fp8 e4m3
// that is "not 0x7f or 0xff"; integers always are; of a block format (cols and row_stride: whole blocks) it
// is the scales that count.
bool AllFinite(DType type, const void* data, int64_t rows, int64_t cols, int64_t row_stride);

}  // namespace deeprack::worker
