// Row-major matrices of activations.
#pragma once

#include <cstdint>

#include "base/dtype.h"

namespace deeprack::kernels {

// rows x cols elements of type kF32 or kBF16, or of another type where an operation says so. Row r begins at
// element r * stride. Does not own.
struct Matrix {
  void* data = nullptr;
  DType type = DType::kF32;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;

  template <class T>
  constexpr T* row(int64_t r) const {
    return static_cast<T*>(data) + r * stride;
  }
};

}  // namespace deeprack::kernels
