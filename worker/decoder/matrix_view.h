// Views of rows and columns of a matrix, without copying.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/api/matrix.h"

namespace deeprack::worker {

inline kernels::Matrix RowsOf(const kernels::Matrix& x, int64_t begin, int64_t rows) {
  kernels::Matrix view = x;
  view.data = static_cast<std::byte*>(x.data) + begin * x.stride * static_cast<int64_t>(SizeOf(x.type));
  view.rows = rows;
  return view;
}

inline kernels::Matrix FirstRows(const kernels::Matrix& x, int64_t rows) { return RowsOf(x, 0, rows); }

inline kernels::Matrix ColumnsOf(const kernels::Matrix& x, int64_t begin, int64_t cols) {
  kernels::Matrix view = x;
  view.data = static_cast<std::byte*>(x.data) + begin * static_cast<int64_t>(SizeOf(x.type));
  view.cols = cols;
  return view;
}

}  // namespace deeprack::worker
