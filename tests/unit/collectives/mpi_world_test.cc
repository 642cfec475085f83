// Run under mpirun: every process is one rank and runs the same tests in the same order.
#include "worker/collectives/mpi/mpi_world.h"

#include <cstdlib>
#include <iostream>

#include "gtest/gtest.h"
#include "tests/unit/collectives/communicator_checks.h"

namespace deeprack::worker {
namespace {

Communicator* world = nullptr;

TEST(MpiWorldTest, IsTheLaunchersWorld) {
  EXPECT_EQ(world->rank(), DetectLaunchWorld().rank);
  EXPECT_EQ(world->size(), DetectLaunchWorld().size);
  EXPECT_GE(world->size(), 2) << "run this test under mpirun";
}
TEST(MpiWorldTest, SumsF32InRankOrder) { CheckSumsInRankOrder(*world, DType::kF32); }
TEST(MpiWorldTest, SumsBF16InRankOrder) { CheckSumsInRankOrder(*world, DType::kBF16); }
TEST(MpiWorldTest, SumDoesNotDependOnPlace) { CheckSumDoesNotDependOnPlace(*world); }
TEST(MpiWorldTest, AllGather) { CheckAllGather(*world); }
TEST(MpiWorldTest, AllGatherV) { CheckAllGatherV(*world); }
TEST(MpiWorldTest, AllToAllV) { CheckAllToAllV(*world); }
TEST(MpiWorldTest, SendAndReceive) { CheckSendAndReceiveKeepOrder(*world); }
TEST(MpiWorldTest, Split) { CheckSplit(*world); }
TEST(MpiWorldTest, ManySmallCalls) { CheckManySmallCalls(*world); }

TEST(MpiWorldTest, JoiningTwiceGivesIndependentWorlds) {
  auto second = JoinMpiWorld(absl::Minutes(1));
  ASSERT_TRUE(second.ok()) << second.status();
  CheckSplit(**second);
  CheckAllGather(*world);
}

// Breaks MPI, so it needs processes of its own: run it with --gtest_filter=MpiFailureTest.X.
TEST(MpiFailureTest, DISABLED_DeadlineWhenOneStaysAway) {
  auto impatient = JoinMpiWorld(absl::Seconds(1));
  ASSERT_TRUE(impatient.ok());
  CheckDeadlineWhenOneStaysAway(**impatient, 1);
}
TEST(MpiFailureTest, DISABLED_AbortFromAnotherThread) { CheckAbortFromAnotherThread(*world); }

}  // namespace
}  // namespace deeprack::worker

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  auto joined = deeprack::worker::JoinMpiWorld(absl::Minutes(1));
  if (!joined.ok()) {
    std::cerr << joined.status() << "\n";
    return 1;
  }
  deeprack::worker::world = joined->get();
  const int result = RUN_ALL_TESTS();
  deeprack::worker::LeaveMpi(result);
  return result;
}
