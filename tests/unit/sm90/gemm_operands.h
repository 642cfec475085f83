// Operands of the matrix products' tests: weights and rows in every format, with their values as numbers.
#pragma once

#include <memory>
#include <numeric>

#include "kernels/api/int4_tiles.h"
#include "kernels/api/weight_packing.h"
#include "kernels/cuda/sm90/gemm.h"
#include "tests/unit/sm90/card.h"

namespace deeprack::kernels::sm90 {

inline constexpr int kBlocks = 3;  // blocks of the grid; each block does several units

struct Operands {
  DType weight, x;
};
inline constexpr Operands kBothBF16{DType::kBF16, DType::kBF16};

// A weight of [groups][n, k] in its kernel's format, and its values.
struct Weight {
  Weight(Operands operands, int64_t groups, int64_t n, int64_t k, Random& random)
      : n(n), k(k), values(groups * n * k) {
    const DType type = operands.weight;
    row = {nullptr, nullptr, type, groups, n, k};
    if (operands.x == DType::kF8E4M3) row.int4_layout = WeightLayout::kTilesForE4M3;
    if (type == DType::kBF16) {
      const std::vector<bf16> source = NormalBF16(values.size(), random, 0.1f);
      for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<double>(ToFloat(source[i]));
      Keep(source);
    } else if (type == DType::kF8E4M3) {
      const std::vector<fp8_e4m3> source = RandomE4M3(values.size(), random);
      const std::vector<float> scale = UniformFloats(ScaleCount(groups, n, k), random, 1e-4f, 3e-3f);
      for (size_t i = 0; i < values.size(); ++i) {
        const size_t at = i / static_cast<size_t>(k), col = i % static_cast<size_t>(k);
        const float s = scale[(at / 16 * static_cast<size_t>(ScaleBlocks(k)) + col / 128) * 2 + at % 16 / 8];
        values[i] = static_cast<double>(ToFloat(source[i])) * static_cast<double>(s);
      }
      Keep(source);
      scales = std::make_unique<CardArray<float>>(scale);
      row.scales = scales->data();
    } else {
      std::vector<uint8_t> tiles(Int4Bytes(groups, n, k));
      std::vector<BlockInt4G128> blocks(k / 128);
      for (int64_t g = 0; g < groups; ++g) {
        for (int64_t r = 0; r < n; ++r) {
          for (BlockInt4G128& block : blocks) {
            block.scale = std::uniform_real_distribution<float>(0.001f, 0.02f)(random);
            block.zero = static_cast<uint8_t>(random() % 17);
            for (uint8_t& q : block.qs) q = static_cast<uint8_t>(random());
          }
          PackInt4Row(blocks.data(), r, k, row.int4_layout, tiles.data() + g * Int4Bytes(1, n, k));
          for (int64_t c = 0; c < k; ++c) {
            const BlockInt4G128& block = blocks[c / 128];
            const int q = block.qs[c % 64] >> (c % 128 / 64 * 4) & 15;
            values[(g * n + r) * k + c] =
                static_cast<double>(q - block.zero) * static_cast<double>(block.scale);
          }
        }
      }
      Keep(tiles);
    }
  }

  template <class T>
  void Keep(const std::vector<T>& source) {
    bytes = std::make_unique<CardArray<uint8_t>>(
        std::vector<uint8_t>(reinterpret_cast<const uint8_t*>(source.data()),
                             reinterpret_cast<const uint8_t*>(source.data() + source.size())));
    row.data = bytes->data();
  }
  const double* Row(int64_t group, int64_t feature) const {
    return values.data() + (group * n + feature) * k;
  }

  int64_t n, k;
  std::vector<double> values;
  std::unique_ptr<CardArray<uint8_t>> bytes;
  std::unique_ptr<CardArray<float>> scales;
  RowWeight row;
};

// `capacity` rows of x. Rows that are not `real` are NaN, as are their scales and all bytes between rows.
struct Input {
  Input(DType type, int64_t capacity, int64_t width, Random& random, const std::vector<bool>& real)
      : stride(width + 16), values(capacity * width) {
    rows = {nullptr, type, capacity, stride, nullptr, (capacity + 3) / 4 * 4};
    const int64_t blocks = ScaleBlocks(width);
    if (type == DType::kF8E4M3) {
      std::vector<fp8_e4m3> source = RandomE4M3(capacity * stride, random);
      std::vector<float> scale = UniformFloats(blocks * rows.scale_stride, random, 0.001f, 0.1f);
      std::vector<float> sum(scale.size());
      for (int64_t r = 0; r < rows.scale_stride; ++r) {
        const bool here = r < capacity && real[r];
        for (int64_t b = 0; b < blocks; ++b) {
          if (!here) scale[b * rows.scale_stride + r] = std::numeric_limits<float>::quiet_NaN();
        }
        if (r >= capacity) continue;
        for (int64_t c = 0; c < stride; ++c) {
          if (!here || c >= width) source[r * stride + c].bits = 0xff;
          if (c < width) {
            values[r * width + c] = static_cast<double>(ToFloat(source[r * stride + c])) *
                                    static_cast<double>(scale[c / 128 * rows.scale_stride + r]);
          }
        }
        for (int64_t b = 0; b < blocks; ++b) {
          const auto begin = values.begin() + r * width + b * 128;
          sum[b * rows.scale_stride + r] = static_cast<float>(
              std::accumulate(begin, begin + std::min<int64_t>(128, width - b * 128), 0.0));
        }
      }
      fp8 = std::make_unique<CardArray<fp8_e4m3>>(source);
      scales = std::make_unique<CardArray<float>>(scale);
      rows.data = fp8->data();
      sums = std::make_unique<CardArray<float>>(sum);
      rows.scales = scales->data();
      rows.sums = sums->data();
    } else {
      std::vector<bf16> source = NormalBF16(capacity * stride, random);
      for (int64_t r = 0; r < capacity; ++r) {
        for (int64_t c = 0; c < stride; ++c) {
          if (!real[r] || c >= width) source[r * stride + c].bits = 0xffff;
          if (c < width) values[r * width + c] = static_cast<double>(ToFloat(source[r * stride + c]));
        }
      }
      bf = std::make_unique<CardArray<bf16>>(source);
      rows.data = bf->data();
    }
  }
  // `count` rows from `first` on as a matrix of their own, as a smaller batch has them.
  Rows From(int64_t first, int64_t count) const {
    Rows part = rows;
    part.rows = count;
    part.data =
        static_cast<const uint8_t*>(rows.data) + first * stride * static_cast<int64_t>(SizeOf(rows.type));
    if (part.scales != nullptr) part.scales += first;
    if (part.sums != nullptr) part.sums += first;
    return part;
  }

  int64_t stride;
  std::vector<double> values;
  std::unique_ptr<CardArray<fp8_e4m3>> fp8;
  std::unique_ptr<CardArray<bf16>> bf;
  std::unique_ptr<CardArray<float>> scales, sums;
  Rows rows;
};

inline double Tolerance(Operands operands) { return operands.x == DType::kF8E4M3 ? Fp8Tolerance() : 2e-5; }

inline double Dot(const double* a, const double* b, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace deeprack::kernels::sm90
