// Ranks as threads: every golden in every layout.
#include <gtest/gtest.h>

#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/parity/golden.h"
#include "tests/parity/layouts.h"
#include "tests/parity/ranks_as_threads.h"
#include "tests/parity/serve_golden.h"

namespace deeprack::parity {
namespace {

constexpr int kAllGreedyTokens = 20;
constexpr int kSomeGreedyTokens = 6;

class GoldenTest : public ::testing::Test {
 protected:
  void Take(absl::StatusOr<Golden> golden) {
    ASSERT_TRUE(golden.ok()) << golden.status();
    golden_ = *std::move(golden);
  }

  void Check(const Placement& placement, DType compute, Chunking chunking, int greedy_tokens) {
    SCOPED_TRACE(Describe(placement));
    const std::vector<RankReport> reports = OnEveryRank<RankReport>(
        golden_, placement, compute, [&](const worker::EngineOptions& options, worker::Communicator* world) {
          return ServeGolden(golden_, options, chunking, greedy_tokens, world);
        });

    RankReport all;
    for (const RankReport& report : reports) {
      all.positions += report.positions;
      all.tokens += report.tokens;
      all.worst = std::max(all.worst, report.worst);
      if (!report.failures.empty()) {
        ADD_FAILURE() << report.failures.size() << " differences, the first: " << report.failures.front();
      }
    }
    const RankReport expected = ExpectedCounts(golden_, compute, chunking, greedy_tokens);
    EXPECT_EQ(all.positions, expected.positions);
    EXPECT_EQ(all.tokens, expected.tokens);
    worst_ = std::max(worst_, all.worst);
  }

  void TearDown() override { RecordProperty("worst_relative_difference", absl::StrCat(worst_)); }

  Golden golden_;
  double worst_ = 0;
};

class ParityTest : public GoldenTest, public ::testing::WithParamInterface<std::string> {
 protected:
  void SetUp() override { Take(LoadGolden(GetParam())); }
};

class DemoParityTest : public GoldenTest {
 protected:
  void SetUp() override { Take(LoadDemoGolden()); }
};

TEST_P(ParityTest, F32OnEveryLayout) {
  for (const Placement& placement : PlacementsOf(golden_)) {
    const bool alone = placement.layout.world_size() == 1;
    Check(placement, DType::kF32, Chunking::kMixed, alone ? kAllGreedyTokens : kSomeGreedyTokens);
  }
}

TEST_P(ParityTest, F32TokenByToken) {
  Check({}, DType::kF32, Chunking::kOneByOne, kSomeGreedyTokens);
  Check({{.tp = 2}}, DType::kF32, Chunking::kOneByOne, kSomeGreedyTokens);
}

TEST_P(ParityTest, BF16OnEveryLayout) {
  Check({}, DType::kBF16, Chunking::kOneByOne, kAllGreedyTokens);
  for (const Placement& placement : PlacementsOf(golden_)) {
    Check(placement, DType::kBF16, Chunking::kMixed, kSomeGreedyTokens);
  }
}

TEST_F(DemoParityTest, F32) {
  Check({}, DType::kF32, Chunking::kMixed, kAllGreedyTokens);
  for (const model::Layout& layout :
       {model::Layout{.tp = 2, .ep = 2}, model::Layout{.tp = 1, .dp = 2, .ep = 2},
        model::Layout{.tp = 4, .ep = 2}, model::Layout{.tp = 2, .ep = 1, .pp = 2}}) {
    Check({layout, model::ExpertExchange::kReplicated}, DType::kF32, Chunking::kMixed, kSomeGreedyTokens);
    Check({layout, model::ExpertExchange::kAllToAll}, DType::kF32, Chunking::kMixed, kSomeGreedyTokens);
  }
}

INSTANTIATE_TEST_SUITE_P(Goldens, ParityTest, ::testing::ValuesIn(GoldenNames()),
                         [](const auto& info) { return info.param; });

TEST(Goldens, AreThere) { EXPECT_GE(GoldenNames().size(), 13u); }

}  // namespace
}  // namespace deeprack::parity
