// Shared by the kernel tests: the suite over all backends, matrices in poisoned memory, and error measures.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kernels/api/cpu_kernels.h"
#include "kernels/api/kernel_set.h"
#include "kernels/api/thread_pool.h"
#include "kernels/reference/reference.h"

namespace deeprack::kernels {

// The sets that the program tests. kernels_test: the CPU's sets that this processor can run.
// plain_kernels_test: the plain CUDA kernels, run on the host.
std::vector<const KernelSet*> KernelsUnderTest();

inline std::string BackendName(const KernelSet& kernels) {
  std::string name(kernels.name);
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

// Tests run once for each set, with three threads.
class KernelTest : public ::testing::TestWithParam<const KernelSet*> {
 protected:
  const KernelSet& kernels() const { return *GetParam(); }
  static const Execution& execution() {
    static const std::unique_ptr<ThreadPool> pool = MakeThreadPool(3);
    static const Execution execution{.pool = pool.get()};
    return execution;
  }
};

#define DEEPRACK_INSTANTIATE_KERNEL_TEST(suite)                                     \
  INSTANTIATE_TEST_SUITE_P(Kernels, suite, ::testing::ValuesIn(KernelsUnderTest()), \
                           [](const auto& info) { return BackendName(*info.param); })

using Random = std::mt19937_64;

inline std::vector<float> NormalValues(int64_t count, Random& random, float deviation = 1.0f) {
  std::normal_distribution<float> normal(0.0f, deviation);
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

// A matrix with its own memory. Every byte that is not an element is 0xff, which reads as NaN in every float
// type.
class TestMatrix {
 public:
  TestMatrix(DType type, int64_t rows, int64_t cols, int64_t padding = 5)
      : guard_(64), bytes_((rows * (cols + padding)) * SizeOf(type) + 2 * guard_, 0xff) {
    view_ = Matrix{bytes_.data() + guard_, type, rows, cols, cols + padding};
  }
  TestMatrix(const TestMatrix& other) : guard_(other.guard_), bytes_(other.bytes_), view_(other.view_) {
    view_.data = bytes_.data() + guard_;
  }
  TestMatrix& operator=(const TestMatrix&) = delete;

  static TestMatrix Normal(DType type, int64_t rows, int64_t cols, Random& random, float deviation = 1.0f) {
    TestMatrix matrix(type, rows, cols);
    std::normal_distribution<float> normal(0.0f, deviation);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < cols; ++c) reference::Set(matrix.view(), r, c, normal(random));
    }
    return matrix;
  }

  const Matrix& view() const { return view_; }
  double at(int64_t row, int64_t col) const { return reference::Get(view_, row, col); }
  // Rows [first, first + rows) of the same memory.
  Matrix Rows(int64_t first, int64_t rows) const {
    Matrix part = view_;
    part.data =
        static_cast<char*>(view_.data) + first * view_.stride * static_cast<int64_t>(SizeOf(view_.type));
    part.rows = rows;
    return part;
  }
  // The elements of a row as bytes, to compare exactly.
  std::string RowBytes(int64_t row) const {
    const size_t size = SizeOf(view_.type);
    return std::string(static_cast<const char*>(view_.data) + row * view_.stride * size, view_.cols * size);
  }
  std::string AllBytes() const {
    std::string all;
    for (int64_t r = 0; r < view_.rows; ++r) all += RowBytes(r);
    return all;
  }
  // True when every byte outside the elements is still 0xff.
  bool PaddingIntact() const {
    const size_t size = SizeOf(view_.type);
    for (size_t i = 0; i < bytes_.size(); ++i) {
      const int64_t element = (static_cast<int64_t>(i) - guard_) / static_cast<int64_t>(size);
      const bool inside = static_cast<int64_t>(i) >= guard_ && element < view_.rows * view_.stride &&
                          element % view_.stride < view_.cols;
      if (!inside && bytes_[i] != 0xff) return false;
    }
    return true;
  }

 private:
  int64_t guard_;
  std::vector<uint8_t> bytes_;
  Matrix view_;
};

// Checks the relative error that headers state: the largest difference in a row over the root mean square of
// the expected row. bf16 results may also differ by one rounding.
inline void ExpectClose(const TestMatrix& actual, const TestMatrix& expected, double tolerance) {
  EXPECT_TRUE(actual.PaddingIntact());
  const double rounding = actual.view().type == DType::kBF16 ? 0x1p-8 : 0x1p-24;
  for (int64_t r = 0; r < actual.view().rows; ++r) {
    double squares = 0;
    for (int64_t c = 0; c < actual.view().cols; ++c) squares += expected.at(r, c) * expected.at(r, c);
    const double root = std::sqrt(squares / static_cast<double>(std::max<int64_t>(1, actual.view().cols)));
    for (int64_t c = 0; c < actual.view().cols; ++c) {
      const double allowed = tolerance * root + rounding * std::abs(expected.at(r, c)) + 1e-30;
      ASSERT_LE(std::abs(actual.at(r, c) - expected.at(r, c)), allowed)
          << "row " << r << " column " << c << ": " << actual.at(r, c) << " for " << expected.at(r, c);
    }
  }
}

// Checks attention against the reference within the error that kernels/api/attention.h states. If softmax
// weights are rounded, also checks against a reference with rounded weights, from which few results differ
// (ties).
template <class Args>
void ExpectAttention(const KernelSet& kernels, void (*reference)(const Args&, reference::SoftmaxWeights),
                     const Args& args, DType query, const TestMatrix& out, TestMatrix& expected) {
  const bool rounds_weights =
      kernels.name == "avx512_bf16" && query == DType::kBF16 && args.cache_type != DType::kF32;
  reference(args, reference::SoftmaxWeights::kExact);
  ExpectClose(out, expected, rounds_weights ? 1.5e-2 : 1e-5);
  if (!rounds_weights) return;
  reference(args, reference::SoftmaxWeights::kBf16);
  ExpectClose(out, expected, 1e-3);
}

}  // namespace deeprack::kernels
