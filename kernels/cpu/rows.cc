// Operations that go over rows once: norms, additions, SwiGLU, embedding, rope, cache writes, the combination
// of experts. Memory bounds all of them: they read and write every element once; the norms read a row a
// second time from the cache.
#include "base/check.h"
#include "kernels/cpu/backend.h"
#include "kernels/cpu/simd.h"

namespace deeprack::kernels::DEEPRACK_SIMD {
namespace {

constexpr int64_t kElementsPerTask = 16384;

// Calls body(row) for all rows, in parallel if the rows are large.
template <class Body>
void ForRows(const Execution& execution, int64_t rows, int64_t elements_per_row, Body body) {
  const int64_t rows_per_task = Higher(1, kElementsPerTask / Higher(1, elements_per_row));
  ParallelFor(execution, (rows + rows_per_task - 1) / rows_per_task, [=](int64_t task) {
    const int64_t end = Lower(rows, (task + 1) * rows_per_task);
    for (int64_t r = task * rows_per_task; r < end; ++r) body(r);
  });
}

// Sixteen columns of a row, the last of them short.
F16 LoadColumns(const Matrix& matrix, int64_t row, int64_t column, int64_t count) {
  if (matrix.type == DType::kBF16) return LoadFirst(matrix.row<const bf16>(row) + column, count);
  return LoadFirst(matrix.row<const float>(row) + column, count);
}
void StoreColumns(const Matrix& matrix, int64_t row, int64_t column, F16 value, int64_t count) {
  if (matrix.type == DType::kBF16) return StoreFirst(matrix.row<bf16>(row) + column, value, count);
  StoreFirst(matrix.row<float>(row) + column, value, count);
}

// Lane l of partial sum q adds columns 64 i + 16 q + l in order; then the four sums and the lanes fold in
// halves.
void NormRow(const Matrix& x, const float* weight, float eps, const Matrix& out, int64_t row) {
  const int64_t d = x.cols;
  F16 squares[4] = {Set1(0.0f), Set1(0.0f), Set1(0.0f), Set1(0.0f)};
  for (int64_t c = 0; c < d; c += 64) {
    for (int64_t q = 0; q < 4 && c + 16 * q < d; ++q) {
      const F16 v = LoadColumns(x, row, c + 16 * q, d - c - 16 * q);
      squares[q] = Fma(v, v, squares[q]);
    }
  }
  const float sum = SumLanes(Add(Add(squares[0], squares[2]), Add(squares[1], squares[3])));
  const F16 inverse = Set1(1.0f / __builtin_sqrtf(sum / static_cast<float>(d) + eps));
  for (int64_t c = 0; c < d; c += 16) {
    const F16 scaled = Mul(LoadColumns(x, row, c, d - c), inverse);
    StoreColumns(out, row, c, Mul(scaled, LoadFirst(weight + c, d - c)), d - c);
  }
}

void AddRow(const Matrix& a, const Matrix& b, int64_t row) {
  for (int64_t c = 0; c < a.cols; c += 16) {
    const int64_t count = a.cols - c;
    StoreColumns(a, row, c, Add(LoadColumns(a, row, c, count), LoadColumns(b, row, c, count)), count);
  }
}

template <class T>
void RotateRow(const RopeArgs& args, int64_t row) {
  const int64_t half = args.rope_dim / 2;
  const float* cos = args.cos + args.positions[row] * half;
  const float* sin = args.sin + args.positions[row] * half;
  for (int64_t h = 0; h < args.heads; ++h) {
    T* x = args.x.row<T>(row) + h * args.head_stride + args.offset;
    for (int64_t i = 0; i < half; ++i) {
      const float a = ToFloat(x[2 * i]), b = ToFloat(x[2 * i + 1]);
      x[2 * i] = FromFloat<T>(a * cos[i] - b * sin[i]);
      x[2 * i + 1] = FromFloat<T>(a * sin[i] + b * cos[i]);
    }
  }
}

}  // namespace

void Embedding(const EmbeddingArgs& args, const Execution& execution) {
  const int64_t d = args.out.cols;
  const Matrix table{const_cast<void*>(args.table), args.table_type, args.vocab_rows, d, d};
  ForRows(execution, args.out.rows, d, [=, &args](int64_t row) {
    const int64_t entry = args.ids[row] - args.vocab_begin;
    const bool here = entry >= 0 && entry < args.vocab_rows;
    for (int64_t c = 0; c < d; c += 16) {
      StoreColumns(args.out, row, c, here ? LoadColumns(table, entry, c, d - c) : Set1(0.0f), d - c);
    }
  });
}

void RmsNorm(const RmsNormArgs& args, const Execution& execution) {
  DR_CHECK(args.out.cols == args.x.cols && args.out.rows == args.x.rows);
  ForRows(execution, args.x.rows, args.x.cols,
          [&args](int64_t row) { NormRow(args.x, args.weight, args.eps, args.out, row); });
}

void AddRmsNorm(const AddRmsNormArgs& args, const Execution& execution) {
  DR_CHECK(args.out.cols == args.x.cols && args.residual.cols == args.x.cols);
  ForRows(execution, args.x.rows, args.x.cols, [&args](int64_t row) {
    AddRow(args.residual, args.x, row);
    NormRow(args.residual, args.weight, args.eps, args.out, row);
  });
}

void Add(const AddArgs& args, const Execution& execution) {
  DR_CHECK(args.a.cols == args.b.cols && args.a.rows == args.b.rows);
  ForRows(execution, args.a.rows, args.a.cols, [&args](int64_t row) { AddRow(args.a, args.b, row); });
}

void SwiGlu(const SwiGluArgs& args, const Execution& execution) {
  const int64_t d = args.out.cols;
  DR_CHECK(args.gate_up.cols == 2 * d);
  const int64_t rows = args.row_count != nullptr ? Lower(args.out.rows, *args.row_count) : args.out.rows;
  ForRows(execution, rows, d, [&args, d](int64_t row) {
    const F16 one = Set1(1.0f);
    for (int64_t c = 0; c < d; c += 16) {
      const F16 gate = LoadColumns(args.gate_up, row, c, d - c);
      const F16 up = LoadColumns(args.gate_up, row, d + c, d - c);
      const F16 silu = Div(gate, Add(one, Exp(Sub(Set1(0.0f), gate))));
      StoreColumns(args.out, row, c, Mul(silu, up), d - c);
    }
  });
}

void Rope(const RopeArgs& args, const Execution& execution) {
  DR_CHECK(args.rope_dim % 2 == 0);
  ForRows(execution, args.x.rows, args.heads * args.rope_dim, [&args](int64_t row) {
    if (args.x.type == DType::kBF16) return RotateRow<bf16>(args, row);
    RotateRow<float>(args, row);
  });
}

void KvWrite(const KvWriteArgs& args, const Execution& execution) {
  if (args.cache_type == DType::kF8E4M3) return WriteFp8Entries(args, execution);
  const int64_t latent = args.latent.cols, rope = args.rope_key.cols;
  ForRows(execution, args.latent.rows, latent + rope, [=, &args](int64_t row) {
    if (args.slots[row] < 0) return;
    const Matrix entry{args.cache, args.cache_type, 0, latent + rope, latent + rope};
    for (int64_t c = 0; c < latent; c += 16) {
      StoreColumns(entry, args.slots[row], c, LoadColumns(args.latent, row, c, latent - c), latent - c);
    }
    for (int64_t c = 0; c < rope; c += 16) {
      StoreColumns(entry, args.slots[row], latent + c, LoadColumns(args.rope_key, row, c, rope - c),
                   rope - c);
    }
  });
}

void Combine(const CombineArgs& args, const Execution& execution) {
  const int64_t d = args.out.cols;
  ForRows(execution, args.out.rows, d * args.top_k, [&args, d](int64_t row) {
    const int32_t* rows = args.pair_to_row + row * args.top_k;
    const float* weights = args.weights + row * args.top_k;
    for (int64_t c = 0; c < d; c += 16) {
      F16 sum = args.add.data != nullptr ? LoadColumns(args.add, row, c, d - c) : Set1(0.0f);
      for (int64_t choice = 0; choice < args.top_k; ++choice) {
        if (rows[choice] < 0) continue;
        sum = Fma(Set1(weights[choice]), LoadColumns(args.y, rows[choice], c, d - c), sum);
      }
      StoreColumns(args.out, row, c, sum, d - c);
    }
  });
}

}  // namespace deeprack::kernels::DEEPRACK_SIMD
