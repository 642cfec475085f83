// Random weights, as in a checkpoint and packed, with NaN around all memory that must not be read.
#pragma once

#include <new>

#include "base/checked.h"
#include "kernels/api/packed_weight.h"
#include "kernels/api/weight_packing.h"
#include "tests/unit/kernels/kernel_test.h"

namespace deeprack::kernels {

// A whole row-major tensor as in a checkpoint.
struct TestTensor {
  DType type;
  int64_t rows, cols;
  std::vector<uint8_t> data;
  std::vector<float> scales;  // fp8: one per 128 x 128

  TestTensor(DType type, int64_t rows, int64_t cols, Random& random)
      : type(type), rows(rows), cols(cols), data(rows * cols * SizeOf(type)) {
    if (type == DType::kF8E4M3) {
      for (uint8_t& byte : data) {
        do byte = static_cast<uint8_t>(random());
        while ((byte & 0x7f) == 0x7f);  // all values but NaN
      }
      std::uniform_real_distribution<float> uniform(0.5f, 2.0f);
      scales.resize(CeilDiv(rows, kScaleBlock) * CeilDiv(cols, kScaleBlock));
      for (float& scale : scales) scale = uniform(random) * 0x1p-7f;
      return;
    }
    const Matrix view{data.data(), type, rows, cols, cols};
    const std::vector<float> values = NormalValues(rows * cols, random);
    for (int64_t i = 0; i < rows * cols; ++i) reference::Set(view, i / cols, i % cols, values[i]);
  }

  double at(int64_t row, int64_t col) const {
    const int64_t i = row * cols + col;
    if (type == DType::kF8E4M3) {
      const float scale = scales[row / kScaleBlock * CeilDiv(cols, kScaleBlock) + col / kScaleBlock];
      return static_cast<double>(ToFloat(fp8_e4m3{data[i]})) * static_cast<double>(scale);
    }
    return reference::Get(Matrix{const_cast<uint8_t*>(data.data()), type, rows, cols, cols}, row, col);
  }

  SourceMatrix Slice(int64_t row_begin, int64_t slice_rows, int64_t col_begin, int64_t slice_cols) const {
    return SourceMatrix{
        .data = data.data() + (row_begin * cols + col_begin) * static_cast<int64_t>(SizeOf(type)),
        .row_stride = cols,
        .type = type,
        .rows = slice_rows,
        .cols = slice_cols,
        .scales = type == DType::kF8E4M3 ? scales.data() : nullptr,
        .scale_cols = CeilDiv(cols, kScaleBlock),
        .row_begin = row_begin,
        .col_begin = col_begin};
  }
};

// The storage of a packed weight between guards of 0xff, of exactly the size of its layout.
class TestWeight {
 public:
  TestWeight(DType type, int64_t n, int64_t k, int64_t col_begin = 0)
      : values_(Aligned(PackedValueBytes(type, n, k))),
        scales_(Aligned(PackedScaleBytes(type, n, k, col_begin))) {
    const bool scaled = type == DType::kF8E4M3;
    weight_ = PackedWeight{
        values_.get(), scaled ? ScaleData() : nullptr, type, n, k, scaled ? col_begin % kScaleBlock : 0};
  }

  static TestWeight Make(DType type, int64_t n, int64_t k, Random& random, int64_t row_begin = 0,
                         int64_t col_begin = 0) {
    const TestTensor tensor(type, row_begin + n, col_begin + k + 3, random);
    TestWeight weight(type, n, k, col_begin);
    PackRows(tensor.Slice(row_begin, n, col_begin, k), {type, 0, n, weight.values(), weight.ScaleData()});
    return weight;
  }

  const PackedWeight& packed() const { return weight_; }
  void* values() { return values_.get(); }
  float* ScaleData() { return reinterpret_cast<float*>(scales_.get()); }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Free {
    void operator()(uint8_t* p) const { ::operator delete(p, kAlignment); }
  };
  static std::unique_ptr<uint8_t, Free> Aligned(int64_t bytes) {
    const int64_t whole = RoundUp(bytes, 64) + 64;  // the last 64 are a guard of NaN
    std::unique_ptr<uint8_t, Free> memory(static_cast<uint8_t*>(::operator new(whole, kAlignment)));
    std::memset(memory.get(), 0xff, whole);
    return memory;
  }

  std::unique_ptr<uint8_t, Free> values_;
  std::unique_ptr<uint8_t, Free> scales_;
  PackedWeight weight_;
};

}  // namespace deeprack::kernels
