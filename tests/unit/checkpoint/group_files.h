// Makes a weight of integers in groups and its files in each layout, bit by bit from the layouts'
// definitions.
#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "base/block_formats.h"
#include "base/checked.h"
#include "model/config/group_quantization.h"
#include "tests/unit/checkpoint/checkpoint_files.h"

namespace deeprack::checkpoint {

inline constexpr char kModule[] = "model.layers.0.mlp.up_proj";
inline constexpr char kWeight[] = "model.layers.0.mlp.up_proj.weight";

// Random q, zeros and scales. Unless `in_order`, each column also belongs to a random group.
struct GroupedMatrix {
  int64_t rows = 0;
  int64_t cols = 0;
  std::vector<int> q;         // [rows, cols]: 0..15, or -128..127
  std::vector<int> zeros;     // [rows, groups]
  std::vector<float> scales;  // [rows, groups]; exact in bf16 and f16
  std::vector<int> group_of;  // [cols]

  int64_t groups() const { return CeilDiv(cols, int64_t{128}); }
  float Value(int64_t row, int64_t col) const {
    const int64_t i = row * groups() + group_of[static_cast<size_t>(col)];
    return static_cast<float>(q[static_cast<size_t>(row * cols + col)] - zeros[static_cast<size_t>(i)]) *
           scales[static_cast<size_t>(i)];
  }
};

class Draws {
 public:
  explicit Draws(uint64_t seed) : state_(seed) {}
  int Below(int n) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<int>((state_ >> 33) % static_cast<uint64_t>(n));
  }

 private:
  uint64_t state_;
};

inline GroupedMatrix RandomMatrix(const model::GroupQuantization& quantization, int64_t rows, int64_t cols,
                                  bool in_order, uint64_t seed = 1) {
  Draws draws(seed);
  GroupedMatrix m = {.rows = rows, .cols = cols};
  const bool int8 = quantization.layout == model::GroupLayout::kIntQuantized;
  for (int64_t i = 0; i < rows * cols; ++i) m.q.push_back(int8 ? draws.Below(256) - 128 : draws.Below(16));
  for (int64_t row = 0; row < rows; ++row) {
    const float scale = static_cast<float>(draws.Below(127) + 1) * 0x1p-12f;  // 7 bits
    for (int64_t g = 0; g < m.groups(); ++g) {
      const float own = static_cast<float>(draws.Below(127) + 1) * 0x1p-12f;
      m.scales.push_back(int8 ? scale : own);
      m.zeros.push_back(int8                          ? 0
                        : quantization.symmetric      ? 8
                        : quantization.zero_minus_one ? draws.Below(16) + 1
                                                      : draws.Below(16));
    }
  }
  for (int64_t col = 0; col < cols; ++col) m.group_of.push_back(static_cast<int>(col / 128));
  for (size_t i = m.group_of.size(); !in_order && i > 1; --i) {
    std::swap(m.group_of[i - 1], m.group_of[static_cast<size_t>(draws.Below(static_cast<int>(i)))]);
  }
  return m;
}

// A tensor's bytes, which a test may damage before they are written.
struct TensorBytes {
  DType dtype;
  std::vector<int64_t> shape;
  std::string bytes;

  template <class T>
  void Put(int64_t index, T value) {
    std::memcpy(bytes.data() + index * static_cast<int64_t>(sizeof(T)), &value, sizeof(T));
  }
  // Puts four bits at bit position `shift` of a word.
  void PutNibble(int64_t word, int shift, int value) {
    uint32_t bits;
    std::memcpy(&bits, bytes.data() + word * 4, 4);
    bits |= static_cast<uint32_t>(value & 15) << shift;
    std::memcpy(bytes.data() + word * 4, &bits, 4);
  }
};

using GroupFile = std::map<std::string, TensorBytes>;

inline TensorBytes Zeroed(DType dtype, std::vector<int64_t> shape) {
  size_t size = SizeOf(dtype);
  for (const int64_t dimension : shape) size *= static_cast<size_t>(dimension);
  return {dtype, std::move(shape), std::string(size, '\0')};
}

inline void PutScale(TensorBytes& tensor, int64_t index, float scale) {
  if (tensor.dtype == DType::kF16) {
    tensor.Put(index, ToF16(scale));
  } else if (tensor.dtype == DType::kBF16) {
    tensor.Put(index, ToBF16(scale));
  } else {
    tensor.Put(index, scale);
  }
}

// `scale_type`: F16, BF16 or F32.
inline GroupFile FileOf(const model::GroupQuantization& quantization, const GroupedMatrix& m,
                        DType scale_type = DType::kF16) {
  const std::string prefix = std::string(kModule) + ".";
  const int64_t n = m.rows, k = m.cols, groups = m.groups();
  const auto q = [&](int64_t row, int64_t col) { return m.q[static_cast<size_t>(row * k + col)]; };
  const auto zero = [&](int64_t row, int64_t g) {
    return m.zeros[static_cast<size_t>(row * groups + g)] - (quantization.zero_minus_one ? 1 : 0);
  };
  GroupFile file;
  switch (quantization.layout) {
    case model::GroupLayout::kAwq: {
      // AutoAWQ packs values 0 2 4 6 1 3 5 7 of each eight columns of the transposed matrix.
      static constexpr int kOrder[8] = {0, 2, 4, 6, 1, 3, 5, 7};
      TensorBytes qweight = Zeroed(DType::kI32, {k, n / 8});
      TensorBytes qzeros = Zeroed(DType::kI32, {groups, n / 8});
      for (int64_t word = 0; word < n / 8; ++word) {
        for (int i = 0; i < 8; ++i) {
          const int64_t row = word * 8 + kOrder[i];
          for (int64_t col = 0; col < k; ++col) qweight.PutNibble(col * (n / 8) + word, 4 * i, q(row, col));
          for (int64_t g = 0; g < groups; ++g) qzeros.PutNibble(g * (n / 8) + word, 4 * i, zero(row, g));
        }
      }
      file[prefix + "qweight"] = qweight;
      file[prefix + "qzeros"] = qzeros;
      break;
    }
    case model::GroupLayout::kGptq: {
      TensorBytes qweight = Zeroed(DType::kI32, {k / 8, n});
      TensorBytes qzeros = Zeroed(DType::kI32, {groups, n / 8});
      TensorBytes g_idx = Zeroed(DType::kI32, {k});
      for (int64_t row = 0; row < n; ++row) {
        for (int64_t col = 0; col < k; ++col) {
          qweight.PutNibble(col / 8 * n + row, static_cast<int>(col % 8 * 4), q(row, col));
        }
        for (int64_t g = 0; g < groups; ++g) {
          qzeros.PutNibble(g * (n / 8) + row / 8, static_cast<int>(row % 8 * 4), zero(row, g));
        }
      }
      for (int64_t col = 0; col < k; ++col) g_idx.Put(col, int32_t{m.group_of[static_cast<size_t>(col)]});
      file[prefix + "qweight"] = qweight;
      file[prefix + "qzeros"] = qzeros;
      file[prefix + "g_idx"] = g_idx;
      break;
    }
    case model::GroupLayout::kPackQuantized: {
      const int64_t words = CeilDiv(k, int64_t{8});
      TensorBytes packed = Zeroed(DType::kI32, {n, words});
      TensorBytes zeros = Zeroed(DType::kI32, {CeilDiv(n, int64_t{8}), groups});
      for (int64_t row = 0; row < n; ++row) {
        for (int64_t col = 0; col < k; ++col) {
          packed.PutNibble(row * words + col / 8, static_cast<int>(col % 8 * 4), q(row, col));
        }
        for (int64_t g = 0; g < groups; ++g) {
          zeros.PutNibble(row / 8 * groups + g, static_cast<int>(row % 8 * 4), zero(row, g));
        }
      }
      file[prefix + "weight_packed"] = packed;
      if (!quantization.symmetric) file[prefix + "weight_zero_point"] = zeros;
      if (quantization.act_order) {
        TensorBytes g_idx = Zeroed(DType::kI32, {k});
        for (int64_t col = 0; col < k; ++col) g_idx.Put(col, int32_t{m.group_of[static_cast<size_t>(col)]});
        file[prefix + "weight_g_idx"] = g_idx;
      }
      TensorBytes shape = Zeroed(DType::kI64, {2});
      shape.Put(0, n);
      shape.Put(1, k);
      file[prefix + "weight_shape"] = shape;
      break;
    }
    case model::GroupLayout::kIntQuantized: {
      TensorBytes weight = Zeroed(DType::kI8, {n, k});
      for (int64_t i = 0; i < n * k; ++i) weight.Put(i, static_cast<int8_t>(m.q[static_cast<size_t>(i)]));
      file[prefix + "weight"] = weight;
      break;
    }
  }
  const bool by_row = quantization.layout == model::GroupLayout::kIntQuantized;
  const bool transposed =
      quantization.layout == model::GroupLayout::kAwq || quantization.layout == model::GroupLayout::kGptq;
  TensorBytes scales = Zeroed(scale_type, by_row       ? std::vector<int64_t>{n, 1}
                                          : transposed ? std::vector<int64_t>{groups, n}
                                                       : std::vector<int64_t>{n, groups});
  for (int64_t row = 0; row < n; ++row) {
    for (int64_t g = 0; g < (by_row ? 1 : groups); ++g) {
      PutScale(scales, transposed ? g * n + row : row * (by_row ? 1 : groups) + g,
               m.scales[static_cast<size_t>(row * groups + g)]);
    }
  }
  file[prefix + (transposed ? "scales" : "weight_scale")] = scales;
  return file;
}

inline void WriteGroupFile(const TestFolder& folder, const GroupFile& file) {
  SafetensorsWriter writer;
  for (const auto& [name, tensor] : file) {
    writer.Add(name, tensor.dtype, tensor.shape, AsBytes(tensor.bytes));
  }
  ASSERT_TRUE(writer.Write(folder / "model.safetensors").ok());
}

}  // namespace deeprack::checkpoint
