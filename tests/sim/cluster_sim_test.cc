// Whole runs of the cluster from seeds (cluster_simulation.h), and the faults that such runs must find.
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <string>

#include "tests/sim/cluster_simulation.h"

namespace deeprack::coordinator::sim {
namespace {

#ifdef __SANITIZE_ADDRESS__
constexpr uint64_t kClusterSeeds = 100;
#else
constexpr uint64_t kClusterSeeds = 2'000;
#endif

class ClusterSimulationTest : public ::testing::Test {
 protected:
  ClusterSimulationTest() { spdlog::set_level(spdlog::level::off); }
  ~ClusterSimulationTest() override { spdlog::set_level(spdlog::level::info); }
};

// The runs must have had enough of everything to test it. `simulate 1 SEED` runs a failing seed again.
TEST_F(ClusterSimulationTest, NoSeedBreaksAnInvariant) {
  ClusterFigures total;
  for (uint64_t seed = 1; seed <= kClusterSeeds; ++seed) {
    ClusterSimulation simulation(seed);
    const absl::Status status = simulation.Run();
    ASSERT_TRUE(status.ok()) << "seed " << seed << ": " << status;
    total.Add(simulation.figures());
  }
  const auto seeds = static_cast<int64_t>(kClusterSeeds);
  EXPECT_GT(total.steps, 50 * seeds);
  EXPECT_GT(total.requests, 5 * seeds);
  EXPECT_GT(total.epochs, 2 * seeds);
  EXPECT_GT(total.smaller, seeds / 100);
  EXPECT_GT(total.restarts, seeds / 10);
  EXPECT_GT(total.stale_results, seeds / 40);  // steps with drafts are under way one at a time
  EXPECT_GT(total.given_up, seeds / 100);
  for (int phase = 0; phase < kPhases; ++phase)
    EXPECT_GT(total.faults_in[phase], seeds / 20) << "in phase " << phase;
}

TEST_F(ClusterSimulationTest, OneSeedIsOneRun) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    ClusterSimulation once(seed), again(seed);
    ASSERT_TRUE(once.Run().ok());
    ASSERT_TRUE(again.Run().ok());
    EXPECT_EQ(once.figures().digest, again.figures().digest);
    EXPECT_EQ(once.figures().epochs, again.figures().epochs);
  }
}

class PlantedClusterFaults : public ClusterSimulationTest,
                             public ::testing::WithParamInterface<PlantedFault> {};

TEST_P(PlantedClusterFaults, AreFoundWithinAThousandSeeds) {
  absl::Status found;
  for (uint64_t seed = 1; found.ok() && seed <= 1000; ++seed)
    found = ClusterSimulation(seed, GetParam()).Run();
  EXPECT_FALSE(found.ok()) << NameOf(GetParam()) << " was not found in 1,000 seeds";
  RecordProperty("found_by", std::string(found.message()));
}

INSTANTIATE_TEST_SUITE_P(All, PlantedClusterFaults, ::testing::ValuesIn(kPlantedClusterFaults),
                         [](const auto& info) {
                           std::string name = NameOf(info.param);
                           std::ranges::replace(name, ' ', '_');
                           return name;
                         });

}  // namespace
}  // namespace deeprack::coordinator::sim
