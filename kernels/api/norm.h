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
  // With data, for backends that say KernelSet::reads_rounded: also the rows of the norm, as they are before
  // `out` rounds them, as RoundedRowsLayoutOf(m, d) says.
  std::byte* rounded = nullptr;
};

// residual += x (rounded once to the residual's type), then out = RMSNorm(residual).
struct AddRmsNormArgs {
  Matrix x;         // [m, d]
  Matrix residual;  // [m, d], updated
  const float* weight = nullptr;
  float eps = 1e-6f;
  Matrix out;                    // [m, d]
  std::byte* rounded = nullptr;  // as above
};

}  // namespace deeprack::kernels
