#include <cmath>

#include "kernels/reference/reference.h"

namespace deeprack::kernels::reference {

double Get(const Matrix& matrix, int64_t row, int64_t col) {
  if (matrix.type == DType::kBF16) return static_cast<double>(ToFloat(matrix.row<bf16>(row)[col]));
  return static_cast<double>(matrix.row<float>(row)[col]);
}

void Set(const Matrix& matrix, int64_t row, int64_t col, double value) {
  if (matrix.type == DType::kBF16) {
    matrix.row<bf16>(row)[col] = ToBF16(static_cast<float>(value));
  } else {
    matrix.row<float>(row)[col] = static_cast<float>(value);
  }
}

double Get(const PackedWeight& weight, int64_t n, int64_t k) {
  const int64_t panel = n / kPanelRows, lane = n % kPanelRows;
  const int64_t index = panel * kPanelRows * weight.k + k * kPanelRows + lane;
  switch (weight.type) {
    case DType::kBF16:
      return static_cast<double>(ToFloat(static_cast<const bf16*>(weight.data)[index]));
    case DType::kF8E4M3: {
      const int64_t block = (weight.k_block_offset + k) / kScaleBlock;
      const float scale = weight.scales[(panel * weight.scale_blocks() + block) * kPanelRows + lane];
      return static_cast<double>(ToFloat(static_cast<const fp8_e4m3*>(weight.data)[index])) *
             static_cast<double>(scale);
    }
    default:
      return static_cast<double>(static_cast<const float*>(weight.data)[index]);
  }
}

void Embedding(const EmbeddingArgs& args) {
  const int64_t d = args.out.cols;
  const Matrix table{const_cast<void*>(args.table), args.table_type, args.vocab_rows, d, d};
  for (int64_t i = 0; i < args.out.rows; ++i) {
    const int64_t entry = args.ids[i] - args.vocab_begin;
    const bool here = entry >= 0 && entry < args.vocab_rows;
    for (int64_t c = 0; c < d; ++c) Set(args.out, i, c, here ? Get(table, entry, c) : 0.0);
  }
}

void RmsNorm(const RmsNormArgs& args) {
  for (int64_t r = 0; r < args.x.rows; ++r) {
    double squares = 0;
    for (int64_t c = 0; c < args.x.cols; ++c) squares += Get(args.x, r, c) * Get(args.x, r, c);
    const double root = std::sqrt(squares / static_cast<double>(args.x.cols) + static_cast<double>(args.eps));
    for (int64_t c = 0; c < args.x.cols; ++c) {
      Set(args.out, r, c, Get(args.x, r, c) / root * static_cast<double>(args.weight[c]));
    }
  }
}

void AddRmsNorm(const AddRmsNormArgs& args) {
  Add({args.residual, args.x});
  RmsNorm({args.residual, args.weight, args.eps, args.out});
}

void Add(const AddArgs& args) {
  for (int64_t r = 0; r < args.a.rows; ++r) {
    for (int64_t c = 0; c < args.a.cols; ++c) Set(args.a, r, c, Get(args.a, r, c) + Get(args.b, r, c));
  }
}

void Linear(const LinearArgs& args) {
  for (int64_t r = 0; r < args.x.rows; ++r) {
    for (int64_t n = 0; n < args.weight.n; ++n) {
      double sum = 0;
      for (int64_t k = 0; k < args.weight.k; ++k) sum += Get(args.x, r, k) * Get(args.weight, n, k);
      Set(args.out, r, n, sum);
    }
  }
}

void HeadLinear(const HeadLinearArgs& args) {
  for (int64_t r = 0; r < args.x.rows; ++r) {
    for (int64_t h = 0; h < args.heads; ++h) {
      const PackedWeight& weight = args.weights[h];
      for (int64_t n = 0; n < weight.n; ++n) {
        double sum = 0;
        for (int64_t k = 0; k < weight.k; ++k)
          sum += Get(args.x, r, h * args.x_head_stride + k) * Get(weight, n, k);
        Set(args.out, r, h * weight.n + n, sum);
      }
    }
  }
}

void GroupedLinear(const GroupedLinearArgs& args) {
  for (int64_t e = 0; e < args.experts; ++e) {
    const PackedWeight& weight = args.weights[e];
    for (int64_t r = args.offsets[e]; r < args.offsets[e + 1]; ++r) {
      const int64_t row = args.row_index != nullptr ? args.row_index[r] : r;
      for (int64_t n = 0; n < weight.n; ++n) {
        double sum = 0;
        for (int64_t k = 0; k < weight.k; ++k) sum += Get(args.x, row, k) * Get(weight, n, k);
        Set(args.out, r, n, sum);
      }
    }
  }
}

void SwiGlu(const SwiGluArgs& args) {
  const int64_t d = args.out.cols;
  for (int64_t r = 0; r < args.out.rows; ++r) {
    if (args.row_count != nullptr && r >= *args.row_count) return;
    for (int64_t c = 0; c < d; ++c) {
      const double gate = Get(args.gate_up, r, c);
      Set(args.out, r, c, gate / (1 + std::exp(-gate)) * Get(args.gate_up, r, d + c));
    }
  }
}

}  // namespace deeprack::kernels::reference
