#include "worker/topology/rank_placement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>

namespace deeprack::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// Nodes of `cores` cores with one processor each, or with two: second processors are numbered after all first
// ones, as Linux does.
Machine MachineOf(int nodes, int cores, int threads_of_core = 1) {
  Machine machine;
  for (int n = 0; n < nodes; ++n) {
    NumaNode& node = machine.nodes.emplace_back(NumaNode{.number = n, .cores = {}});
    for (int c = 0; c < cores; ++c) {
      std::vector<int>& core = node.cores.emplace_back();
      for (int t = 0; t < threads_of_core; ++t) core.push_back(t * nodes * cores + n * cores + c);
    }
  }
  return machine;
}

std::vector<int> First(int count, int from = 0) {
  std::vector<int> numbers(static_cast<size_t>(count));
  std::iota(numbers.begin(), numbers.end(), from);
  return numbers;
}

RankPlacement Place(const Machine& machine, std::vector<int> allowed, int rank, int ranks, int threads) {
  return PlaceRank(
      machine, {.allowed = std::move(allowed), .local_rank = rank, .local_ranks = ranks, .threads = threads});
}

TEST(RankPlacement, OnOneNodeBindsThreadsAndNoMemory) {
  const Machine machine = {.nodes = {{.number = 0, .cores = {{0}, {1}, {2}, {3}, {8}, {9}, {10}}}}};
  const std::vector<int> allowed = {0, 1, 2, 3, 8, 9};
  for (int rank : {0, 1}) {
    const RankPlacement placement = Place(machine, allowed, rank, 2, 3);
    EXPECT_EQ(placement.processors, rank == 0 ? std::vector({0, 1, 2}) : std::vector({3, 8, 9}));
    EXPECT_THAT(placement.nodes, IsEmpty());
    EXPECT_THAT(placement.confined_to, IsEmpty());
  }
  EXPECT_THAT(Place(machine, allowed, 1, 3, 1).processors, ElementsAre(2));
  EXPECT_THAT(Place(machine, allowed, 0, 2, 4).processors,
              IsEmpty());  // ranks share processors: no thread is bound
  EXPECT_THAT(Place(machine, allowed, 0, 1, 7).processors, IsEmpty());
  EXPECT_THAT(Place(machine, allowed, 8, 9, 1).processors, IsEmpty());
}

TEST(RankPlacement, GivesEachRankANode) {
  const Machine machine = MachineOf(2, 4);
  for (int rank : {0, 1}) {
    const RankPlacement placement = Place(machine, First(8), rank, 2, 4);
    EXPECT_THAT(placement.nodes, ElementsAre(rank));
    EXPECT_EQ(placement.confined_to, First(4, 4 * rank));
    EXPECT_EQ(placement.processors, First(4, 4 * rank));
  }
}

TEST(RankPlacement, SharesANodeAmongItsRanksByCores) {
  const Machine machine = MachineOf(2, 4, 2);  // processors 8 to 15 are second threads
  EXPECT_THAT(Place(machine, First(16), 0, 4, 2).processors, ElementsAre(0, 1));
  EXPECT_THAT(Place(machine, First(16), 1, 4, 2).processors, ElementsAre(2, 3));
  EXPECT_THAT(Place(machine, First(16), 1, 4, 4).processors, ElementsAre(2, 3, 10, 11));
  const RankPlacement last = Place(machine, First(16), 3, 4, 3);
  EXPECT_THAT(last.processors, ElementsAre(6, 7, 14));
  EXPECT_THAT(last.nodes, ElementsAre(1));
  EXPECT_THAT(last.confined_to, ElementsAre(4, 5, 6, 7, 12, 13, 14, 15));
}

TEST(RankPlacement, FillsCoresBeforeTheirSecondThreads) {
  const Machine machine = MachineOf(1, 4, 2);
  EXPECT_THAT(Place(machine, First(8), 0, 1, 6).processors, ElementsAre(0, 1, 2, 3, 4, 5));
  const Machine adjacent = {.nodes = {{.number = 0, .cores = {{0, 1}, {2, 3}}}}};
  EXPECT_THAT(Place(adjacent, First(4), 0, 1, 3).processors, ElementsAre(0, 2, 1));
  EXPECT_THAT(Place(adjacent, First(4), 2, 4, 1).processors, ElementsAre(2));  // fewer cores than ranks
}

TEST(RankPlacement, InterleavesARankOverItsNodes) {
  const RankPlacement alone = Place(MachineOf(2, 4), First(8), 0, 1, 8);
  EXPECT_THAT(alone.nodes, ElementsAre(0, 1));
  EXPECT_EQ(alone.processors, First(8));
  EXPECT_EQ(alone.confined_to, First(8));
  const RankPlacement half = Place(MachineOf(4, 2), First(8), 1, 2, 4);
  EXPECT_THAT(half.nodes, ElementsAre(2, 3));
  EXPECT_EQ(half.processors, First(4, 4));
}

TEST(RankPlacement, CutsAcrossNodesWhereRanksDoNotDivide) {
  const Machine machine = MachineOf(2, 9);
  std::vector<RankPlacement> ranks;
  for (int r = 0; r < 3; ++r) ranks.push_back(Place(machine, First(18), r, 3, 6));
  EXPECT_THAT(ranks[0].nodes, ElementsAre(0));
  EXPECT_THAT(ranks[1].nodes, ElementsAre(0, 1));
  EXPECT_THAT(ranks[2].nodes, ElementsAre(1));
  for (int r = 0; r < 3; ++r) EXPECT_EQ(ranks[static_cast<size_t>(r)].processors, First(6, 6 * r));
}

TEST(RankPlacement, KeepsToTheProcessorsAllowed) {
  const Machine machine = MachineOf(2, 4);
  // Only processors of one node are allowed: both ranks are on that node.
  const RankPlacement second = Place(machine, {4, 5, 6, 7}, 1, 2, 2);
  EXPECT_THAT(second.nodes, ElementsAre(1));
  EXPECT_THAT(second.processors, ElementsAre(6, 7));
  // One allowed processor on node 0, three on node 1. By nodes, two threads for each rank do not fit, but by
  // cores they do.
  EXPECT_THAT(Place(machine, {3, 4, 5, 6}, 0, 2, 2).processors, ElementsAre(3, 4));
  EXPECT_THAT(Place(machine, {3, 4, 5, 6}, 0, 2, 2).nodes, ElementsAre(0, 1));
  EXPECT_THAT(Place(machine, {3, 4, 5, 6}, 1, 2, 2).nodes, ElementsAre(1));
  // The launcher gave each rank its own processors, too few for the threads of all ranks: no thread is bound
  // to a single processor.
  const RankPlacement own = Place(machine, {4, 5}, 1, 4, 2);
  EXPECT_THAT(own.processors, IsEmpty());
  EXPECT_THAT(own.nodes, ElementsAre(1));
  EXPECT_THAT(own.confined_to, ElementsAre(4, 5));
}

TEST(RankPlacement, DoesWithoutAMachineThatHasNoneOfTheProcessors) {
  const RankPlacement strange = Place(MachineOf(2, 2), {8, 9, 10, 11}, 1, 2, 2);
  EXPECT_THAT(strange.processors, ElementsAre(10, 11));
  EXPECT_THAT(strange.nodes, IsEmpty());
  const RankPlacement unknown = Place(MachineOf(2, 2), {}, 0, 1, 1);
  EXPECT_THAT(unknown.processors, IsEmpty());
  EXPECT_THAT(unknown.confined_to, IsEmpty());
}

TEST(RankPlacement, KeepsRanksOnTheirNodesWhenThreadsAreMoreThanProcessors) {
  const RankPlacement crowded = Place(MachineOf(2, 2), First(4), 7, 8, 4);
  EXPECT_THAT(crowded.processors, IsEmpty());
  EXPECT_THAT(crowded.nodes, ElementsAre(1));
  EXPECT_THAT(crowded.confined_to, ElementsAre(2, 3));
  const RankPlacement uneven = Place(MachineOf(2, 2), First(4), 1, 3, 4);
  EXPECT_THAT(uneven.processors, IsEmpty());
  EXPECT_THAT(uneven.nodes, IsEmpty());
}

TEST(RankPlacement, RanksNeverShareAProcessor) {
  for (const Machine& machine : {MachineOf(1, 7), MachineOf(2, 3, 2), MachineOf(3, 4), MachineOf(4, 1, 2)}) {
    std::vector<int> all;
    for (const NumaNode& node : machine.nodes) {
      for (const auto& core : node.cores) all.insert(all.end(), core.begin(), core.end());
    }
    std::sort(all.begin(), all.end());
    for (int ranks = 1; ranks <= 9; ++ranks) {
      for (int threads = 1; threads <= 12; ++threads) {
        std::multiset<int> used;
        for (int rank = 0; rank < ranks; ++rank) {
          const RankPlacement placement = Place(machine, all, rank, ranks, threads);
          used.insert(placement.processors.begin(), placement.processors.end());
        }
        EXPECT_TRUE(used.empty() || std::ssize(used) == ranks * threads) << ranks << " ranks of " << threads;
        EXPECT_EQ(std::set<int>(used.begin(), used.end()).size(), used.size());
        EXPECT_TRUE(std::includes(all.begin(), all.end(), used.begin(), used.end()));
      }
    }
  }
}

std::string Line(const Machine& machine, const PlacementRequest& request) {
  return Describe(PlaceRank(machine, request), request);
}

TEST(RankPlacement, IsOneLineOfTheLog) {
  EXPECT_EQ(Line(MachineOf(1, 2), {.allowed = First(2), .threads = 2}),
            "rank 0 of 1 on this machine: 2 threads, on processors 0-1");
  EXPECT_EQ(Line(MachineOf(2, 4), {.allowed = First(8), .local_rank = 1, .local_ranks = 2, .threads = 4}),
            "rank 1 of 2 on this machine: 4 threads, on processors 4-7; memory on their NUMA node 1");
  EXPECT_THAT(Line(MachineOf(2, 4), {.allowed = First(8), .threads = 8}),
              HasSubstr("memory interleaved over NUMA nodes 0-1: a rank for each node is faster (--tp)"));
  const std::string crowded =
      Line(MachineOf(1, 2), {.allowed = First(2), .local_rank = 1, .local_ranks = 2, .threads = 2});
  EXPECT_EQ(crowded,
            "rank 1 of 2 on this machine: 2 threads, not bound to single processors: there are 2 for all "
            "ranks here");
  EXPECT_THAT(crowded, Not(HasSubstr("NUMA")));
}

TEST(Ranges, JoinNeighbours) {
  EXPECT_EQ(Ranges({0, 1, 2, 3, 8, 10, 11}), "0-3, 8, 10-11");
  EXPECT_EQ(Ranges({5}), "5");
  EXPECT_EQ(Ranges({}), "");
}

}  // namespace
}  // namespace deeprack::worker
