#include "cli/quantize/quality_table.h"

#include <gtest/gtest.h>

#include <cmath>

namespace deeprack::cli {
namespace {

PerplexityResult ResultOf(const std::vector<float>& losses) {
  PerplexityResult result;
  result.losses = losses;
  for (const float loss : losses) result.loss.Add(loss);
  return result;
}

TEST(PerplexityDelta, ItsErrorIsThatOfTheDifferences) {
  // The losses differ widely, but the second's are always 0.5 or 0.25 more.
  const PerplexityResult base = ResultOf({0, 4, 1, 7}), other = ResultOf({0.5, 4.25, 1.5, 7.25});
  const PerplexityDelta delta = DeltaOf(base, other);
  EXPECT_DOUBLE_EQ(delta.value, std::exp(3.375) - std::exp(3));
  EXPECT_DOUBLE_EQ(delta.error, std::exp(3.375) * std::sqrt(0.125 * 0.125 / 3));
  EXPECT_LT(delta.error, other.perplexity_error() / 10);
}

TEST(QualityTable, RowsStandUnderTheirHead) {
  const std::string head = QualityTableHead();
  const std::string row = QualityTableRow({.type = "Q4_K_M",
                                           .bytes = 3 << 20,
                                           .f16_bytes = 10 << 20,
                                           .perplexity = 1.25,
                                           .perplexity_error = 0.125,
                                           .delta = PerplexityDelta{0.5, 0.25}});
  EXPECT_EQ(row, "| Q4_K_M |    3.0 MiB |     30.0 | 1.250000 +/- 0.125000 | +0.500000 +/- 0.250000 |\n");
  EXPECT_EQ(head.find('\n'), row.size() - 1);
  EXPECT_EQ(head.size(), 2 * row.size());
  EXPECT_NE(QualityTableRow({.type = "F16", .bytes = 1, .f16_bytes = 1}).find("|                        |\n"),
            std::string::npos)
      << "F16 is not held against itself";
}

}  // namespace
}  // namespace deeprack::cli
