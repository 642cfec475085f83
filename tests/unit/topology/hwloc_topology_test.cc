#include "worker/topology/hwloc_topology.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <thread>

#include "kernels/api/thread_pool.h"
#include "worker/device/host_memory.h"
#include "worker/topology/rank_placement.h"

namespace deeprack::worker {
namespace {

using ::testing::ElementsAre;
using Cores = std::vector<std::vector<int>>;

Machine Synthetic(const std::string& description) {
  const auto topology = HwlocTopology::Synthetic(description);
  EXPECT_TRUE(topology.ok()) << topology.status();
  return topology->machine();
}

TEST(HwlocTopology, ReadsNodesCoresAndProcessors) {
  const Machine machine = Synthetic("numa:2 core:4 pu:2");
  ASSERT_EQ(machine.nodes.size(), 2u);
  EXPECT_EQ(machine.nodes[0].number, 0);
  EXPECT_EQ(machine.nodes[0].cores, (Cores{{0, 1}, {2, 3}, {4, 5}, {6, 7}}));
  EXPECT_EQ(machine.nodes[1].number, 1);
  EXPECT_EQ(machine.nodes[1].cores, (Cores{{8, 9}, {10, 11}, {12, 13}, {14, 15}}));
}

TEST(HwlocTopology, ReadsTheSystemsNumbersAndNestedNodes) {
  // Two packages of two nodes. Processors are numbered core by core over the whole machine, as Linux numbers
  // them.
  const Machine machine =
      Synthetic("pack:2 numa:2(indexes=2,0,3,1) core:2 pu:2(indexes=0,8,1,9,2,10,3,11,4,12,5,13,6,14,7,15)");
  ASSERT_EQ(machine.nodes.size(), 4u);
  EXPECT_EQ(machine.nodes[0].number, 2);
  EXPECT_EQ(machine.nodes[0].cores, (Cores{{0, 8}, {1, 9}}));
  EXPECT_EQ(machine.nodes[3].number, 1);
  EXPECT_EQ(machine.nodes[3].cores, (Cores{{6, 14}, {7, 15}}));
}

TEST(HwlocTopology, LeavesOutMemoryWithoutProcessorsOfItsOwn) {
  // Each package has two memory nodes at the same place, as with fast memory beside DRAM.
  const Machine machine = Synthetic("pack:2 [numa] [numa] core:2 pu:1");
  ASSERT_EQ(machine.nodes.size(), 2u);
  EXPECT_EQ(machine.nodes[0].cores, (Cores{{0}, {1}}));
  EXPECT_EQ(machine.nodes[1].cores, (Cores{{2}, {3}}));
}

TEST(HwlocTopology, PlacesRanksOfADescribedMachine) {
  const Machine machine = Synthetic("numa:2 core:4 pu:2");
  PlacementRequest request = {.allowed = {}, .local_rank = 1, .local_ranks = 2, .threads = 4};
  for (int p = 0; p < 16; ++p) request.allowed.push_back(p);
  const RankPlacement placement = PlaceRank(machine, request);
  EXPECT_THAT(placement.nodes, ElementsAre(1));
  EXPECT_THAT(placement.processors, ElementsAre(8, 10, 12, 14));
}

TEST(HwlocTopology, RefusesWhatIsNoDescription) {
  EXPECT_TRUE(absl::IsInvalidArgument(HwlocTopology::Synthetic("numa:two").status()));
}

TEST(HwlocTopology, ReadsThisMachine) {
  const auto topology = HwlocTopology::OfThisMachine();
  ASSERT_TRUE(topology.ok()) << topology.status();
  const Machine machine = topology->machine();
  const RankPlacement placement =
      PlaceRank(machine, {.allowed = kernels::AllowedProcessors(), .local_ranks = 1, .threads = 1});
  EXPECT_EQ(placement.processors.size(), 1u);
}

TEST(HwlocTopology, ConfinesAThread) {
  const auto topology = HwlocTopology::OfThisMachine();
  ASSERT_TRUE(topology.ok()) << topology.status();
  const int last = kernels::AllowedProcessors().back();
  std::thread([&] {
    ASSERT_TRUE(topology->ConfineThisThread({last}).ok());
    EXPECT_THAT(kernels::AllowedProcessors(), ElementsAre(last));
    std::thread([&] { EXPECT_THAT(kernels::AllowedProcessors(), ElementsAre(last)); }).join();
  }).join();
  const absl::Status nowhere = topology->ConfineThisThread({last + 100000});
  EXPECT_TRUE(absl::IsFailedPrecondition(nowhere)) << nowhere;
}

TEST(HwlocTopology, PlacesMemoryOrSaysThatItCannot) {
  const auto topology = HwlocTopology::OfThisMachine();
  ASSERT_TRUE(topology.ok()) << topology.status();
  const int node = topology->machine().nodes[0].number;
  const int64_t bytes = 1 << 20;
  const absl::StatusOr<Memory> memory = MapHostMemory("a test", bytes);
  ASSERT_TRUE(memory.ok());
  // A container may forbid binding; that is not an error of the program.
  const absl::Status placed = topology->PlaceMemory(memory->data(), bytes, {node});
  EXPECT_TRUE(placed.ok() || absl::IsFailedPrecondition(placed)) << placed;
  std::memset(memory->data(), 1, static_cast<size_t>(bytes));  // the memory is usable even if binding failed
  const absl::Status nowhere = topology->PlaceMemory(memory->data(), bytes, {node + 1000});
  EXPECT_TRUE(absl::IsFailedPrecondition(nowhere)) << nowhere;
}

}  // namespace
}  // namespace deeprack::worker
