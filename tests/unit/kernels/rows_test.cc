// Operations on rows: norms, additions, SwiGLU, embedding.
#include "tests/unit/kernels/kernel_test.h"

namespace deeprack::kernels {
namespace {

constexpr DType kTypes[] = {DType::kF32, DType::kBF16};
constexpr double kTolerance = 2e-6;

class RowsTest : public KernelTest {};
DEEPRACK_INSTANTIATE_KERNEL_TEST(RowsTest);

TEST_P(RowsTest, RmsNormAgreesWithReference) {
  Random random(21);
  for (int64_t d : {1, 16, 24, 63, 64, 65, 512, 7168}) {
    const std::vector<float> weight = NormalValues(d, random);
    for (DType type : kTypes) {
      const TestMatrix x = TestMatrix::Normal(type, 5, d, random);
      TestMatrix out(type, 5, d), expected(DType::kF32, 5, d), alone(type, 1, d);
      kernels().rms_norm({x.view(), weight.data(), 1e-6f, out.view()}, execution());
      reference::RmsNorm({x.view(), weight.data(), 1e-6f, expected.view()});
      ExpectClose(out, expected, kTolerance);
      kernels().rms_norm({x.Rows(3, 1), weight.data(), 1e-6f, alone.view()}, {});
      EXPECT_EQ(alone.RowBytes(0), out.RowBytes(3));
      TestMatrix in_place(x);
      kernels().rms_norm({in_place.view(), weight.data(), 1e-6f, in_place.view()}, execution());
      EXPECT_EQ(in_place.AllBytes(), out.AllBytes());
    }
  }
}

TEST_P(RowsTest, RmsNormOfZerosIsZeroAndOfTinyValuesUsesEpsilon) {
  const std::vector<float> weight(20, 1.0f);
  TestMatrix x(DType::kF32, 2, 20), out(DType::kF32, 2, 20);
  for (int64_t c = 0; c < 20; ++c) {
    reference::Set(x.view(), 0, c, 0.0);
    reference::Set(x.view(), 1, c, 1e-3);
  }
  kernels().rms_norm({x.view(), weight.data(), 1e-6f, out.view()}, execution());
  EXPECT_EQ(out.at(0, 7), 0.0);
  EXPECT_NEAR(out.at(1, 7), 1e-3 / std::sqrt(2e-6), 1e-6);
}

TEST_P(RowsTest, AddRmsNormAgreesWithReference) {
  Random random(22);
  for (int64_t d : {30, 1536}) {
    const std::vector<float> weight = NormalValues(d, random);
    for (DType type : kTypes) {
      const TestMatrix x = TestMatrix::Normal(type, 4, d, random),
                       residual = TestMatrix::Normal(type, 4, d, random);
      TestMatrix sum(residual), out(type, 4, d), expected_sum(residual), expected(DType::kF32, 4, d);
      kernels().add_rms_norm({x.view(), sum.view(), weight.data(), 1e-6f, out.view()}, execution());
      reference::AddRmsNorm({x.view(), expected_sum.view(), weight.data(), 1e-6f, expected.view()});
      EXPECT_EQ(sum.AllBytes(), expected_sum.AllBytes());  // one rounding: exact
      ExpectClose(out, expected, kTolerance);
    }
  }
}

TEST_P(RowsTest, AddRoundsOnce) {
  Random random(23);
  for (DType a_type : kTypes) {
    for (DType b_type : kTypes) {
      const TestMatrix a = TestMatrix::Normal(a_type, 3, 77, random),
                       b = TestMatrix::Normal(b_type, 3, 77, random);
      TestMatrix sum(a), expected(a);
      kernels().add({sum.view(), b.view()}, execution());
      reference::Add({expected.view(), b.view()});
      EXPECT_EQ(sum.AllBytes(), expected.AllBytes());
      EXPECT_TRUE(sum.PaddingIntact());
    }
  }
}

TEST_P(RowsTest, SwiGluAgreesWithReference) {
  Random random(24);
  for (int64_t d : {1, 16, 40, 2048}) {
    for (DType type : kTypes) {
      const TestMatrix gate_up = TestMatrix::Normal(type, 3, 2 * d, random, 4.0f);
      TestMatrix out(type, 3, d), expected(DType::kF32, 3, d);
      kernels().swiglu({gate_up.view(), out.view()}, execution());
      reference::SwiGlu({gate_up.view(), expected.view()});
      ExpectClose(out, expected, kTolerance);
    }
  }
}

TEST_P(RowsTest, SwiGluLeavesRowsBeyondTheCountAlone) {
  Random random(27);
  const std::vector<int32_t> count = {2};
  const TestMatrix gate_up = TestMatrix::Normal(DType::kF32, 3, 40, random);
  TestMatrix all(DType::kF32, 3, 20), some(DType::kF32, 3, 20);
  kernels().swiglu({gate_up.view(), all.view()}, execution());
  kernels().swiglu({gate_up.view(), some.view(), count.data()}, execution());
  for (int64_t r = 0; r < 2; ++r) EXPECT_EQ(some.RowBytes(r), all.RowBytes(r));
  EXPECT_TRUE(std::isnan(some.at(2, 0)));
}

TEST_P(RowsTest, CopiesRowsByIndex) {
  Random random(28);
  const std::vector<int32_t> index = {4, 0, 4, 2};
  for (DType type : kTypes) {
    const TestMatrix x = TestMatrix::Normal(type, 5, 33, random);
    TestMatrix out(type, 4, 33), first(type, 4, 33);
    kernels().copy_rows({x.view(), index.data(), out.view()}, execution());
    kernels().copy_rows({x.view(), nullptr, first.view()}, execution());
    for (int64_t r = 0; r < 4; ++r) {
      EXPECT_EQ(out.RowBytes(r), x.RowBytes(index[r]));
      EXPECT_EQ(first.RowBytes(r), x.RowBytes(r));
    }
    EXPECT_TRUE(out.PaddingIntact());
    EXPECT_TRUE(first.PaddingIntact());
  }
}

TEST_P(RowsTest, SwiGluIsFiniteAtTheExtremes) {
  const std::vector<float> gates = {-3e38f, -1e4f, -100, -88, -87,  -1e-30f, 0,
                                    1e-30f, 87,    88,   100, 1e4f, 3e38f};
  const int64_t d = static_cast<int64_t>(gates.size());
  TestMatrix gate_up(DType::kF32, 1, 2 * d), out(DType::kF32, 1, d);
  for (int64_t c = 0; c < d; ++c) {
    reference::Set(gate_up.view(), 0, c, gates[c]);
    reference::Set(gate_up.view(), 0, d + c, 1.0);
  }
  kernels().swiglu({gate_up.view(), out.view()}, execution());
  for (int64_t c = 0; c < d; ++c) {
    const double gate = gates[c];
    EXPECT_NEAR(out.at(0, c), gate / (1 + std::exp(-gate)),
                1e-5 * std::abs(std::max(gate, -1.0)) + 4e0 * (gate < -3e37))
        << gate;
  }
}

TEST_P(RowsTest, EmbeddingCopiesItsRowsAndZeroesOthers) {
  Random random(25);
  const int64_t d = 50, vocab_rows = 30, vocab_begin = 100;
  const std::vector<TokenId> ids = {100, 129, 99, 130, 0, 117};
  for (DType table_type : kTypes) {
    const std::vector<float> values = NormalValues(vocab_rows * d, random);
    std::vector<uint8_t> table(vocab_rows * d * SizeOf(table_type));
    const Matrix table_view{table.data(), table_type, vocab_rows, d, d};
    for (int64_t i = 0; i < vocab_rows * d; ++i) reference::Set(table_view, i / d, i % d, values[i]);
    for (DType type : kTypes) {
      TestMatrix out(type, 6, d), expected(type, 6, d);
      kernels().embedding({table.data(), table_type, vocab_begin, vocab_rows, ids.data(), out.view()},
                          execution());
      reference::Embedding({table.data(), table_type, vocab_begin, vocab_rows, ids.data(), expected.view()});
      EXPECT_EQ(out.AllBytes(), expected.AllBytes());
      EXPECT_TRUE(out.PaddingIntact());
      if (type == table_type) {
        EXPECT_EQ(out.at(1, 3), reference::Get(table_view, 29, 3));
      }
      EXPECT_EQ(out.at(3, 3), 0.0);
    }
  }
}

TEST_P(RowsTest, BackendsGiveTheSameBits) {
  Random random(26);
  const KernelSet& generic = *AvailableCpuKernels().front();
  const std::vector<float> weight = NormalValues(100, random);
  for (DType type : kTypes) {
    const TestMatrix x = TestMatrix::Normal(type, 3, 200, random, 5.0f);
    TestMatrix a(type, 3, 100), b(type, 3, 100);
    kernels().swiglu({x.view(), a.view()}, execution());
    generic.swiglu({x.view(), b.view()}, execution());
    EXPECT_EQ(a.AllBytes(), b.AllBytes());
    kernels().rms_norm({a.view(), weight.data(), 1e-6f, a.view()}, execution());
    generic.rms_norm({b.view(), weight.data(), 1e-6f, b.view()}, execution());
    EXPECT_EQ(a.AllBytes(), b.AllBytes());
  }
}

TEST_P(RowsTest, Bf16StoresRoundAsToBF16) {
  // x + 0 stores x as bf16: ties, carries into the exponent, infinities, NaN and subnormals.
  std::vector<uint32_t> bits = {0x3f808000, 0x3f818000, 0x3f807fff, 0x3f808001, 0x7f7fffff,
                                0x7f800000, 0xff800000, 0x7f800001, 0xffc12345, 0x00000001,
                                0x80008000, 0x80000000, 0x3fffffff};
  Random random(27);
  while (bits.size() < 5000) bits.push_back(static_cast<uint32_t>(random()));
  const int64_t d = static_cast<int64_t>(bits.size());
  TestMatrix table(DType::kF32, 1, d, 0), out(DType::kBF16, 1, d);
  std::memcpy(table.view().data, bits.data(), 4 * bits.size());
  const TokenId id = 0;
  kernels().embedding({table.view().data, DType::kF32, 0, 1, &id, out.view()}, execution());
  for (int64_t c = 0; c < d; ++c) {
    ASSERT_EQ(out.view().row<bf16>(0)[c].bits, ToBF16(std::bit_cast<float>(bits[c])).bits)
        << std::hex << bits[c];
  }
}

}  // namespace
}  // namespace deeprack::kernels
