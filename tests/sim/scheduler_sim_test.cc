// Whole runs of the scheduler from seeds (scheduler_simulation.h), and the faults that such runs must find.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "tests/sim/scheduler_simulation.h"
#include "tests/sim/simulated_cluster.h"

namespace deeprack::coordinator::sim {
namespace {

#ifdef __SANITIZE_ADDRESS__
constexpr uint64_t kSeeds = 300;  // 10,000 would take minutes
#else
constexpr uint64_t kSeeds = 10'000;
#endif

// The runs must have had enough of everything to test it. `simulate 1 SEED` runs a failing seed again.
TEST(SchedulerSimulation, NoSeedBreaksAnInvariant) {
  RunFigures total;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SchedulerSimulation simulation(seed, OptionsOf(seed));
    const absl::Status status = simulation.Run();
    ASSERT_TRUE(status.ok()) << "seed " << seed << ": " << status;
    total.Add(simulation.figures());
  }
  const auto seeds = static_cast<int64_t>(kSeeds);
  EXPECT_GT(total.steps, 100 * seeds);
  EXPECT_GT(total.preemptions, seeds / 2);
  EXPECT_GT(total.prefix_cache_hits, 20 * seeds);
  EXPECT_GT(total.drafts_accepted, 5 * seeds);
  EXPECT_GT(total.drafts_rejected, 2 * seeds);
  EXPECT_GT(total.losses, seeds);
  EXPECT_GT(total.faults, seeds / 4);
  EXPECT_GT(total.stale_results, seeds);
  EXPECT_GT(total.cancelled, seeds);
  EXPECT_EQ(total.most_under_way, 2);
  RecordProperty("steps", static_cast<int>(total.steps));
}

// What is kept of earlier lookups saves time and changes no plan.
TEST(SchedulerSimulation, KeptPrefixesChangeNoPlan) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    RunOptions options = OptionsOf(seed);
    SchedulerSimulation keeping(seed, options);
    options.forget_prefixes = true;
    SchedulerSimulation forgetting(seed, options);
    ASSERT_TRUE(keeping.Run().ok());
    ASSERT_TRUE(forgetting.Run().ok());
    ASSERT_EQ(keeping.figures().digest, forgetting.figures().digest) << "seed " << seed;
  }
}

TEST(SchedulerSimulation, OneSeedIsOneRun) {
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    SchedulerSimulation once(seed, OptionsOf(seed)), again(seed, OptionsOf(seed)),
        other(seed + 100, OptionsOf(seed));
    ASSERT_TRUE(once.Run().ok());
    ASSERT_TRUE(again.Run().ok());
    ASSERT_TRUE(other.Run().ok());
    EXPECT_EQ(once.figures().digest, again.figures().digest);
    EXPECT_NE(once.figures().digest, other.figures().digest);
  }
}

class PlantedFaults : public ::testing::TestWithParam<PlantedFault> {};

// The same seeds pass without the fault: see NoSeedBreaksAnInvariant.
TEST_P(PlantedFaults, AreFoundWithinAThousandSeeds) {
  uint64_t seed = 1;
  absl::Status found;
  for (; found.ok() && seed <= 1000; ++seed) {
    RunOptions options = OptionsOf(seed);
    options.planted = GetParam();
    found = SchedulerSimulation(seed, options).Run();
  }
  EXPECT_FALSE(found.ok()) << NameOf(GetParam()) << " was not found in 1,000 seeds";
  RecordProperty("seeds", static_cast<int>(seed - 1));
  RecordProperty("found_by", std::string(found.message()));
}

INSTANTIATE_TEST_SUITE_P(All, PlantedFaults, ::testing::ValuesIn(kPlantedFaults), [](const auto& info) {
  std::string name = NameOf(info.param);
  std::ranges::replace(name, ' ', '_');
  return name;
});

// Tests of the simulated cluster: it must reject plans that are wrong.
class SimulatedClusterTest : public ::testing::Test {
 protected:
  SimulatedClusterTest()
      : cluster_({.max_step_tokens = 100,
                  .max_sequences = 4,
                  .dp = 1,
                  .blocks_per_dp_rank = 4,
                  .prefill_attention = model::PrefillAttention::kExpanded}) {}
  static SequencePlan Chunk(SequenceId id, int32_t start, std::vector<TokenId> tokens,
                            std::vector<BlockId> table, int32_t prompt_size = 2) {
    SequencePlan plan;
    plan.sequence = id;
    plan.prompt_size = prompt_size;
    plan.num_computed = start;
    plan.token_ids = std::move(tokens);
    plan.block_table = std::move(table);
    return plan;
  }
  absl::Status Execute(std::vector<SequencePlan> sequences) {
    return cluster_.Execute({.epoch = 1, .step = ++step_, .sequences = std::move(sequences), .plan = {}})
        .status();
  }
  SimulatedCluster cluster_;
  StepId step_ = 0;
};

TEST_F(SimulatedClusterTest, AcceptsAContinuedSequence) {
  EXPECT_TRUE(Execute({Chunk(1, 0, {1, 2, 3}, {2})}).ok());
  EXPECT_TRUE(Execute({Chunk(1, 3, {4}, {2})}).ok());
}
TEST_F(SimulatedClusterTest, NoticesAReadOfWhatWasNeverWritten) {
  EXPECT_FALSE(Execute({Chunk(1, 3, {4}, {2})}).ok());
}
TEST_F(SimulatedClusterTest, NoticesAnotherSequencesPast) {
  EXPECT_TRUE(Execute({Chunk(1, 0, {1, 2, 3}, {0})}).ok());
  EXPECT_TRUE(Execute({Chunk(2, 0, {9}, {0})}).ok());  // overwrites the first sequence's start
  EXPECT_FALSE(Execute({Chunk(1, 3, {4}, {0})}).ok());
}
TEST_F(SimulatedClusterTest, NoticesOutputInAPrompt) {
  EXPECT_TRUE(Execute({Chunk(1, 0, {1, 2, 3}, {0}, 2)}).ok());
  EXPECT_FALSE(Execute({Chunk(2, 3, {9}, {0}, 4)}).ok());
}
TEST_F(SimulatedClusterTest, NoticesASharedPageBeingWritten) {
  EXPECT_FALSE(Execute({Chunk(1, 0, {1}, {0}), Chunk(2, 0, {1}, {0})}).ok());
}
TEST_F(SimulatedClusterTest, NoticesTooManyTokens) {
  EXPECT_FALSE(Execute({Chunk(1, 0, std::vector<TokenId>(101, 1), {0, 1})}).ok());
}

}  // namespace
}  // namespace deeprack::coordinator::sim
