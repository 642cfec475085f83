#include "tests/unit/sm90/card.h"
#include "tests/unit/sm90/probe.h"

namespace deeprack::kernels::sm90 {
namespace {

template <class T>
std::vector<T> Values(size_t count, Random& random) {
  if constexpr (sizeof(T) == 1) {
    return RandomE4M3(count, random);
  } else {
    return NormalBF16(count, random);
  }
}

// Element (row, k) of an operand stored [rows, ks] or, transposed, [ks, rows].
template <class T>
double At(const std::vector<T>& values, bool transposed, int64_t rows, int64_t ks, int64_t row, int64_t k) {
  return static_cast<double>(ToFloat(values[transposed ? k * rows + row : row * ks + k]));
}

template <class T>
void Check(Probe probe, int64_t n, bool a_transposed, bool b_transposed) {
  Random random(n + 1);
  const int64_t ks = sizeof(T) == 1 ? 128 : 64;
  const std::vector<T> a = Values<T>(64 * ks, random), b = Values<T>(n * ks, random);
  const CardArray<T> card_a(a), card_b(b);
  const CardArray<float> d(64 * n);
  RunProbe(probe, static_cast<int>(n), card_a.data(), card_b.data(), d.data(), {});
  CardWait();
  const std::vector<float> result = d.Read();
  for (int64_t m = 0; m < 64; ++m) {
    std::vector<double> expected(n);
    for (int64_t j = 0; j < n; ++j) {
      for (int64_t k = 0; k < ks; ++k)
        expected[j] += At(a, a_transposed, 64, ks, m, k) * At(b, b_transposed, n, ks, j, k);
    }
    SCOPED_TRACE(testing::Message() << "n " << n << " row " << m);
    ExpectRow(result.data() + m * n, expected, sizeof(T) == 1 ? Fp8Tolerance() : 1e-5);
  }
}

TEST(ProductTest, E4M3) {
  for (int n : {8, 16, 32, 64, 128}) Check<fp8_e4m3>(Probe::kE4M3, n, false, false);
}
TEST(ProductTest, E4M3WithAInRegisters) {
  for (int n : {8, 16, 32, 64, 128}) Check<fp8_e4m3>(Probe::kE4M3ARegisters, n, false, false);
}
TEST(ProductTest, BF16) {
  for (int n : {8, 16, 32, 64, 128}) Check<bf16>(Probe::kBF16, n, false, false);
}
TEST(ProductTest, BF16WithAInRegisters) {
  for (int n : {8, 16, 32, 64, 128}) Check<bf16>(Probe::kBF16ARegisters, n, false, false);
}
TEST(ProductTest, BF16WithATransposed) {
  for (int n : {8, 16, 32, 64, 128}) Check<bf16>(Probe::kBF16ATransposed, n, true, false);
}
TEST(ProductTest, BF16WithBTransposed) {
  for (int n : {64, 128}) Check<bf16>(Probe::kBF16BTransposed, n, false, true);
}
TEST(ProductTest, BF16WithAInRegistersAndBTransposed) {
  for (int n : {64, 128}) Check<bf16>(Probe::kBF16ARegistersBTransposed, n, false, true);
}
// Scores over an fp8 cache are such sums.
TEST(ProductTest, BF16AndThenE4M3IntoTheSameSums) {
  for (int64_t n : {16, 32, 64}) {
    Random random(n);
    const auto rows = [&](int64_t count, std::vector<double>& values) {
      const std::vector<bf16> wide = NormalBF16(count * 32, random, 100.0f);
      const std::vector<fp8_e4m3> narrow = RandomE4M3(count * 64, random);
      std::vector<uint8_t> bytes(count * 128);
      for (int64_t r = 0; r < count; ++r) {
        std::memcpy(&bytes[r * 128], &wide[r * 32], 64);
        std::memcpy(&bytes[r * 128 + 64], &narrow[r * 64], 64);
        for (int64_t k = 0; k < 96; ++k)
          values.push_back(
              static_cast<double>(k < 32 ? ToFloat(wide[r * 32 + k]) : ToFloat(narrow[r * 64 + k - 32])));
      }
      return bytes;
    };
    std::vector<double> a, b;
    const CardArray<uint8_t> card_a(rows(64, a)), card_b(rows(n, b));
    const CardArray<float> d(64 * n);
    RunProbe(Probe::kBF16ThenE4M3, static_cast<int>(n), card_a.data(), card_b.data(), d.data(), {});
    CardWait();
    const std::vector<float> result = d.Read();
    for (int64_t m = 0; m < 64; ++m) {
      std::vector<double> expected(n);
      for (int64_t j = 0; j < n; ++j) {
        for (int64_t k = 0; k < 96; ++k) expected[j] += a[m * 96 + k] * b[j * 96 + k];
      }
      SCOPED_TRACE(testing::Message() << "n " << n << " row " << m);
      ExpectRow(result.data() + m * n, expected, Fp8Tolerance());
    }
  }
}
TEST(ProductTest, BF16WithBothTransposed) {
  for (int n : {64, 128}) Check<bf16>(Probe::kBF16BothTransposed, n, true, true);
}

}  // namespace
}  // namespace deeprack::kernels::sm90
