// The MTP layer, ranks as threads: its logits at every position, and its drafts, in every layout.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/parity/golden.h"
#include "tests/parity/layouts.h"
#include "tests/parity/mtp_rank.h"

namespace deeprack::parity {
namespace {

class MtpParityTest : public ::testing::Test {
 protected:
  void Take(const std::string& name) {
    auto golden = LoadGolden(name);
    ASSERT_TRUE(golden.ok()) << golden.status();
    golden_ = *std::move(golden);
    auto prompts = LoadMtpGolden(golden_);
    ASSERT_TRUE(prompts.ok()) << prompts.status();
    prompts_ = *std::move(prompts);
  }

  void CheckEveryLayout(DType compute) {
    const MtpComparison comparison = GoldenComparison(compute);
    const MtpReport expected = ExpectedOfMtp(prompts_, comparison.level);
    EXPECT_GT(expected.rows, 10);
    double worst = 0;
    for (const Placement& placement : PlacementsOf(golden_)) {
      SCOPED_TRACE(Describe(placement));
      const MtpReport report = RunMtp(golden_, prompts_, placement, compute, comparison);
      if (!report.failures.empty()) {
        ADD_FAILURE() << report.failures.size() << " differences, the first: " << report.failures.front();
      }
      EXPECT_EQ(report.rows, expected.rows);
      EXPECT_EQ(report.drafts, expected.drafts);
      worst = std::max(worst, report.worst);
    }
    RecordProperty("worst_relative_difference", absl::StrCat(worst));
  }

  Golden golden_;
  std::vector<MtpGoldenPrompt> prompts_;
};

TEST_F(MtpParityTest, F32OnEveryLayout) {
  Take("mtp");
  CheckEveryLayout(DType::kF32);
}

TEST_F(MtpParityTest, BF16OnEveryLayout) {
  Take("mtp");
  CheckEveryLayout(DType::kBF16);
}

// fp8 weights, YaRN, prompts of several pages.
TEST_F(MtpParityTest, R1OnEveryLayout) {
  Take("r1");
  CheckEveryLayout(DType::kF32);
}

}  // namespace
}  // namespace deeprack::parity
