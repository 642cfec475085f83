// Embedding, residual addition, SwiGLU and copies of rows.
#pragma once

#include "base/ids.h"
#include "kernels/api/matrix.h"

namespace deeprack::kernels {

// out[i] = table[ids[i] - vocab_begin], or zeros for an id outside the rows of this rank.
struct EmbeddingArgs {
  const void* table = nullptr;  // [vocab_rows, d] row-major
  DType table_type = DType::kBF16;
  int64_t vocab_begin = 0;
  int64_t vocab_rows = 0;
  const TokenId* ids = nullptr;  // [m]
  Matrix out;                    // [m, d]
};

// a += b, each element rounded once.
struct AddArgs {
  Matrix a;  // [m, d], updated
  Matrix b;  // [m, d]; stride 0: one row that is added to all (a bias)
};

// out = silu(gate) * up, with gate_up = [gate | up] side by side (arXiv:2002.05202).
struct SwiGluArgs {
  Matrix gate_up;  // [m, 2 * d]
  Matrix out;      // [m, d]
  // In memory of the device: only rows below *row_count are computed. Null: all rows.
  const int32_t* row_count = nullptr;
};

// out[i] = x[index[i]], or x[i] without an index. x and out have the same type.
struct CopyRowsArgs {
  Matrix x;                        // [.., d]
  const int32_t* index = nullptr;  // [m]
  Matrix out;                      // [m, d]; does not overlap x
};

}  // namespace deeprack::kernels
