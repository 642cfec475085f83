// Random weights in block formats, and x quantised as products with block formats quantise it.
#pragma once

#include "base/block_formats.h"
#include "tests/unit/kernels/weights.h"

namespace deeprack::kernels {

inline constexpr DType kBlockTypes[] = {DType::kQ4_0, DType::kQ4_1, DType::kQ5_0,     DType::kQ5_1,
                                        DType::kQ8_0, DType::kQ2K,  DType::kQ3K,      DType::kQ4K,
                                        DType::kQ5K,  DType::kQ6K,  DType::kInt4G128, DType::kInt8G128};

// A whole tensor of a block format as in a file, at an odd address.
class BlockTensor {
 public:
  // Every bit of the values and integer scales is random, or all of them are `fill`; d and m are moderate.
  BlockTensor(DType type, int64_t rows, int64_t cols, Random& random, int fill = -1)
      : type_(type), rows_(rows), cols_(cols), data_(BytesOf(type, rows * cols) + 1) {
    for (uint8_t& byte : data_) byte = static_cast<uint8_t>(fill < 0 ? random() : fill);
    for (int64_t i = 0; i < rows * cols / BlockElements(type); ++i)
      SetScales(data_.data() + 1 + i * BlockBytes(type), random);
  }

  DType type() const { return type_; }
  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }

  SourceMatrix Slice(int64_t row_begin, int64_t rows, int64_t col_begin, int64_t cols) const {
    return SourceMatrix{.data = data_.data() + 1 + BytesOf(type_, row_begin * cols_ + col_begin),
                        .row_stride = cols_,
                        .type = type_,
                        .rows = rows,
                        .cols = cols,
                        .row_begin = row_begin,
                        .col_begin = col_begin};
  }

  std::vector<float> Row(int64_t row) const {
    std::vector<float> values(cols_);
    Dequantize(type_, data_.data() + 1 + BytesOf(type_, row * cols_), cols_, values.data());
    return values;
  }

  // Rows [row_begin, row_begin + rows) of columns [col_begin, col_begin + cols), packed as `type`.
  TestWeight Packed(DType type, int64_t row_begin, int64_t rows, int64_t col_begin, int64_t cols) const {
    TestWeight weight(type, rows, cols);
    PackRows(Slice(row_begin, rows, col_begin, cols), {type, 0, rows, weight.values(), nullptr});
    return weight;
  }
  TestWeight Packed(DType type) const { return Packed(type, 0, rows_, 0, cols_); }

 private:
  void SetScales(uint8_t* block, Random& random) const {
    std::uniform_real_distribution<float> uniform(0.25f, 1.0f);
    const auto set_half = [&](size_t offset, float scale) {
      const f16 value = ToF16((random() % 2 == 0 ? scale : -scale) * uniform(random));
      std::memcpy(block + offset, &value, sizeof(value));
    };
    switch (type_) {
      case DType::kQ4_0:
      case DType::kQ5_0:
      case DType::kQ8_0:
        return set_half(0, 0.01f);
      case DType::kQ4_1:
      case DType::kQ5_1:
        set_half(0, 0.01f);
        return set_half(2, 0.1f);
      case DType::kQ2K:
        set_half(offsetof(BlockQ2K, d), 0.01f);
        return set_half(offsetof(BlockQ2K, dmin), 0.01f);
      case DType::kQ3K:
        return set_half(offsetof(BlockQ3K, d), 0.001f);
      case DType::kQ4K:
      case DType::kQ5K:
        set_half(0, 0.001f);
        return set_half(2, 0.001f);
      case DType::kQ6K:
        return set_half(offsetof(BlockQ6K, d), 0.0002f);
      case DType::kInt4G128:
        block[offsetof(BlockInt4G128, zero)] %= 17;
        [[fallthrough]];
      default: {
        const float scale = 0.01f * uniform(random);
        std::memcpy(block, &scale, sizeof(scale));
      }
    }
  }

  DType type_;
  int64_t rows_, cols_;
  std::vector<uint8_t> data_;
};

// x rounded to int8 times a scale for every 32, 128 or 256 columns, as kernels/api/linear.h states it, as
// fp32.
inline TestMatrix Int8Rounded(const TestMatrix& x, DType weight_type) {
  const bool by_blocks = weight_type == DType::kQ4K || weight_type == DType::kQ5K;
  const int64_t step = BlockElements(weight_type) == 32 ? 32 : by_blocks ? 256 : 128;
  TestMatrix rounded(DType::kF32, x.view().rows, x.view().cols);
  for (int64_t r = 0; r < x.view().rows; ++r) {
    for (int64_t begin = 0; begin < x.view().cols; begin += step) {
      double largest = 0;
      for (int64_t c = begin; c < begin + step; ++c) largest = std::max(largest, std::abs(x.at(r, c)));
      const float scale = static_cast<float>(largest) / 127.0f;
      const float inverse = largest > 0 ? 127.0f / static_cast<float>(largest) : 0.0f;
      for (int64_t c = begin; c < begin + step; ++c) {
        const float q = std::nearbyint(static_cast<float>(x.at(r, c)) * inverse);
        reference::Set(rounded.view(), r, c, static_cast<double>(q) * static_cast<double>(scale));
      }
    }
  }
  return rounded;
}

}  // namespace deeprack::kernels
