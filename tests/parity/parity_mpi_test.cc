// Ranks as processes, started by mpirun with 2, 4 or 8 ranks: every golden in every layout of that many
// ranks.
#include <gtest/gtest.h>

#include <iostream>

#include "absl/time/time.h"
#include "tests/parity/golden.h"
#include "tests/parity/layouts.h"
#include "tests/parity/serve_golden.h"
#include "worker/collectives/mpi/mpi_world.h"

namespace deeprack::parity {
namespace {

constexpr int kGreedyTokens = 4;

class MpiParityTest : public ::testing::TestWithParam<std::string> {
 protected:
  void Check(const Golden& golden, const Placement& placement, DType compute) {
    SCOPED_TRACE(Describe(placement));
    auto world = worker::JoinMpiWorld(absl::Minutes(2));
    ASSERT_TRUE(world.ok()) << world.status();
    worker::EngineOptions options =
        GoldenOptions(golden, placement.layout, compute, placement.exchange, placement.prefill);
    options.rank = (*world)->rank();
    const RankReport report = ServeGolden(golden, options, Chunking::kMixed, kGreedyTokens, world->get());
    if (!report.failures.empty()) {
      ADD_FAILURE() << report.failures.size() << " differences, the first: " << report.failures.front();
    }
    float counts[] = {static_cast<float>(report.positions), static_cast<float>(report.tokens)};
    const absl::Status summed = (*world)->AllReduceSum(counts, 2, DType::kF32);
    ASSERT_TRUE(summed.ok()) << summed;
    const RankReport expected = ExpectedCounts(golden, compute, Chunking::kMixed, kGreedyTokens);
    EXPECT_EQ(counts[0], static_cast<float>(expected.positions));
    EXPECT_EQ(counts[1], static_cast<float>(expected.tokens));
  }
};

TEST_P(MpiParityTest, EveryLayoutOfThisManyProcesses) {
  const auto golden = LoadGolden(GetParam());
  ASSERT_TRUE(golden.ok()) << golden.status();
  int layouts = 0;
  for (const Placement& placement : PlacementsOf(*golden)) {
    if (placement.layout.world_size() != worker::DetectLaunchWorld().size) continue;
    ++layouts;
    Check(*golden, placement, layouts % 4 == 0 ? DType::kBF16 : DType::kF32);
  }
  EXPECT_GT(layouts, 0) << "run this under mpirun with 2, 4 or 8 processes";
}

INSTANTIATE_TEST_SUITE_P(Goldens, MpiParityTest, ::testing::ValuesIn(GoldenNames()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace deeprack::parity

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const auto world = deeprack::worker::JoinMpiWorld(absl::Minutes(2));
  if (!world.ok()) {
    std::cerr << world.status() << "\n";
    return 1;
  }
  const int result = RUN_ALL_TESTS();
  deeprack::worker::LeaveMpi(result);
  return result;
}
