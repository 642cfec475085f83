// RMSNorm (arXiv:1910.07467): out = x / sqrt(mean(x^2) + eps) * weight, computed in fp32.
#pragma once

#include <cstddef>

#include "base/rounded_rows.h"
#include "kernels/api/matrix.h"

namespace deeprack::kernels {

struct RmsNormArgs {
  Matrix x;                       // [m, d]
  const float* weight = nullptr;  // [d]
  float eps = 1e-6f;
  Matrix out;  // [m, d]; may be x
  // If not null: the norm's fp32 rows are also written here, rounded to e4m3 in the layout of
  // RoundedRowsLayoutOf(m, d). Only backends with KernelSet::reads_rounded take this.
  std::byte* rounded = nullptr;
};

// residual += x (rounded once to the residual's type), then out = RMSNorm(residual).
struct AddRmsNormArgs {
  Matrix x;         // [m, d]
  Matrix residual;  // [m, d], updated
  const float* weight = nullptr;
  float eps = 1e-6f;
  Matrix out;                    // [m, d]
  std::byte* rounded = nullptr;  // as in RmsNormArgs
};

}  // namespace deeprack::kernels
