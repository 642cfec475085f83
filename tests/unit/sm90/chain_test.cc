// Kernels one after the other, each reading what the one before wrote and writing what it read: with
// overlapping launches the same bits as without.
#include <memory>

#include "kernels/cuda/sm90/gemm.h"
#include "kernels/cuda/sm90/quantise.h"
#include "tests/unit/sm90/card.h"

namespace deeprack::kernels::sm90 {
namespace {

std::vector<bf16> RunChain(bool overlap, int rounds) {
  Random random(1);
  const int64_t m = 5, width = 256;
  const CardArray<fp8_e4m3> weight(RandomE4M3(width * width, random));
  const CardArray<float> scales(UniformFloats(ScaleCount(1, width, width), random, 1e-5f, 2e-4f));
  const CardArray<float> norm(UniformFloats(width, random, 0.5f, 2.0f));
  const CardArray<bf16> x(NormalBF16(m * width, random)), residual(NormalBF16(m * width, random));
  const CardArray<fp8_e4m3> quantised(m * width);
  const CardArray<float> quantised_scales(ScaleBlocks(width) * 8);
  const GemmConfig config = ChooseGemm(1, width, width, m);
  const CardArray<uint8_t> partials(PartialBytes(config, width, m));
  const CardArray<int> arrivals(std::vector<int>(ArrivalBytes(config, width, m) / 4, 0));
  const auto matrix = [&](const CardArray<bf16>& array) {
    return Matrix{array.data(), DType::kBF16, m, width, width};
  };
  const QuantisedRows rows{quantised.data(), width, quantised_scales.data(), 8};
  const Execution execution{.stream = CardStream(), .overlap = overlap};
  for (int i = 0; i < rounds; ++i) {
    NormQuantise({matrix(x), matrix(residual), norm.data(), 1e-6f, {}, rows}, execution);
    Gemm({.weight = {weight.data(), scales.data(), DType::kF8E4M3, 1, width, width},
          .x = {rows.data, DType::kF8E4M3, m, width, rows.scales, rows.scale_stride},
          .out = matrix(x),
          .partials = partials.data(),
          .arrivals = arrivals.data()},
         execution);
  }
  CardWait();
  return residual.Read();
}

TEST(ChainTest, OverlapChangesNoBit) {
  const int rounds = 20;
  const std::vector<bf16> apart = RunChain(false, rounds), overlapping = RunChain(true, rounds);
  for (size_t i = 0; i < apart.size(); ++i) {
    ASSERT_EQ(overlapping[i].bits, apart[i].bits) << i;
    ASSERT_FALSE(std::isnan(ToFloat(apart[i]))) << i;
  }
}

}  // namespace
}  // namespace deeprack::kernels::sm90
