// The card of the Hopper kernels' tests: the host's emulation (card_host.cc) or a real card
// (tests/gpu/card_device.cc). The tests are the same.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <vector>

#include "base/dtype.h"
#include "kernels/api/execution.h"

namespace deeprack::kernels::sm90 {

void* CardAllocate(size_t bytes);  // aligned to 1024
void CardFree(void* p);
void CardWrite(void* to, const void* from, size_t bytes);
void CardRead(void* to, const void* from, size_t bytes);
// Waits for all enqueued work. An error fails the test.
void CardWait();
// A stream on which kernels may overlap.
void* CardStream();
// The allowed error of sums of fp8 products, relative to the root mean square. The tensor cores keep 13 to 14
// bits; the emulation rounds to fp32.
double Fp8Tolerance();

// An array in the card's memory between guards. Every byte without a given value is 0xff, NaN in every float
// type.
template <class T>
class CardArray {
 public:
  explicit CardArray(size_t count) : CardArray(std::vector<T>(), count) {}
  explicit CardArray(const std::vector<T>& values) : CardArray(values, values.size()) {}
  CardArray(const std::vector<T>& values, size_t count) : count_(count), memory_(CardAllocate(Bytes())) {
    std::vector<uint8_t> bytes(Bytes(), 0xff);
    std::memcpy(bytes.data() + kGuard, values.data(), values.size() * sizeof(T));
    CardWrite(memory_, bytes.data(), bytes.size());
  }
  CardArray(const CardArray&) = delete;
  CardArray& operator=(const CardArray&) = delete;
  ~CardArray() {
    EXPECT_TRUE(GuardsIntact());
    CardFree(memory_);
  }

  T* data() const { return reinterpret_cast<T*>(static_cast<uint8_t*>(memory_) + kGuard); }
  size_t size() const { return count_; }
  std::vector<T> Read() const {
    std::vector<T> values(count_);
    CardRead(values.data(), data(), count_ * sizeof(T));
    return values;
  }
  void Write(const std::vector<T>& values) { CardWrite(data(), values.data(), values.size() * sizeof(T)); }

 private:
  static constexpr size_t kGuard = 1024;
  size_t Bytes() const { return count_ * sizeof(T) + 2 * kGuard; }
  bool GuardsIntact() const {
    std::vector<uint8_t> bytes(Bytes());
    CardRead(bytes.data(), memory_, bytes.size());
    for (size_t i = 0; i < kGuard; ++i) {
      if (bytes[i] != 0xff || bytes[bytes.size() - 1 - i] != 0xff) return false;
    }
    return true;
  }

  size_t count_;
  void* memory_;
};

using Random = std::mt19937_64;

inline std::vector<bf16> NormalBF16(size_t count, Random& random, float deviation = 1.0f) {
  std::normal_distribution<float> normal(0.0f, deviation);
  std::vector<bf16> values(count);
  for (bf16& value : values) value = ToBF16(normal(random));
  return values;
}

inline std::vector<float> UniformFloats(size_t count, Random& random, float low, float high) {
  std::uniform_real_distribution<float> uniform(low, high);
  std::vector<float> values(count);
  for (float& value : values) value = uniform(random);
  return values;
}

// All finite e4m3 values are equally likely.
inline std::vector<fp8_e4m3> RandomE4M3(size_t count, Random& random) {
  std::vector<fp8_e4m3> values(count);
  for (fp8_e4m3& value : values) {
    do {
      value.bits = static_cast<uint8_t>(random());
    } while ((value.bits & 0x7f) == 0x7f);
  }
  return values;
}

// Compares a row with the expected row: the largest difference over the root mean square of the row, plus one
// rounding for bf16 outputs.
template <class T>
void ExpectRow(const T* actual, const std::vector<double>& expected, double tolerance) {
  double squares = 0;
  for (double value : expected) squares += value * value;
  const double root = std::sqrt(squares / static_cast<double>(expected.size()));
  for (size_t i = 0; i < expected.size(); ++i) {
    const double rounding = (sizeof(T) == 2 ? 0x1p-8 : 0x1p-23) * std::abs(expected[i]);
    ASSERT_NEAR(static_cast<double>(ToFloat(actual[i])), expected[i], tolerance * root + rounding + 1e-30)
        << "column " << i;
  }
}

}  // namespace deeprack::kernels::sm90
