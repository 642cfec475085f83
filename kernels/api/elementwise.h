// Embedding, residual addition, SwiGLU and copies of rows.
#pragma once

#include "base/ids.h"
#include "kernels/api/matrix.h"

namespace deeprack::kernels {

// out[i] = table[ids[i] - vocab_begin], or zeros when this rank's rows do not hold the id.
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
  // Where the kernels run: rows at and beyond this count are left alone. Null: all rows count.
  const int32_t* row_count = nullptr;
};

// out[i] = x[index[i]], of the same type; without an index x[i].
struct CopyRowsArgs {
  Matrix x;                        // [.., d]
  const int32_t* index = nullptr;  // [m]
  Matrix out;                      // [m, d]; overlaps x not at all
};

}  // namespace deeprack::kernels
