// The staged communicator, which copies through host memory: the common checks, with the CPU as the device.
// An engine on an emulated card (emulated_engine_test) tests that it waits for the device where it must.
#include "worker/collectives/staged/staged_communicator.h"

#include <functional>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "tests/unit/collectives/communicator_checks.h"
#include "worker/collectives/local/local_world.h"
#include "worker/device/cpu_device.h"

namespace deeprack::worker {
namespace {

void OnEveryRank(int size, absl::Duration timeout, const std::function<void(Communicator&)>& body) {
  std::vector<std::unique_ptr<Communicator>> ranks = MakeLocalWorld(size, timeout);
  std::vector<std::thread> threads;
  for (auto& rank : ranks) {
    threads.emplace_back(
        [&body, &rank] { body(*MakeStagedCommunicator(MakeCpuDevice(1), std::move(rank))); });
  }
  for (std::thread& thread : threads) thread.join();
}

class StagedWorldTest : public testing::TestWithParam<int> {
 protected:
  static void Check(const std::function<void(Communicator&)>& body) {
    OnEveryRank(GetParam(), absl::Minutes(5), body);
  }
};

TEST_P(StagedWorldTest, SumsInRankOrder) {
  for (const DType type : {DType::kF32, DType::kBF16}) {
    Check([type](Communicator& group) { CheckSumsInRankOrder(group, type); });
  }
}
TEST_P(StagedWorldTest, SumDoesNotDependOnPlace) { Check(CheckSumDoesNotDependOnPlace); }
TEST_P(StagedWorldTest, AllGather) { Check(CheckAllGather); }
TEST_P(StagedWorldTest, AllGatherV) { Check(CheckAllGatherV); }
TEST_P(StagedWorldTest, AllToAllV) { Check(CheckAllToAllV); }
TEST_P(StagedWorldTest, SendAndReceive) { Check(CheckSendAndReceiveKeepOrder); }
TEST_P(StagedWorldTest, Split) { Check(CheckSplit); }
TEST_P(StagedWorldTest, ManySmallCalls) { Check(CheckManySmallCalls); }
INSTANTIATE_TEST_SUITE_P(Sizes, StagedWorldTest, testing::Values(1, 2, 3));

TEST(StagedWorldTest, ASumLargerThanItsStagingGoesInPieces) {
  OnEveryRank(2, absl::Minutes(5), [](Communicator& group) {
    const int64_t count = (int64_t{5} << 20) / 2 + 3;  // over two pieces of 8 MiB
    std::vector<float> values(static_cast<size_t>(count));
    for (int64_t i = 0; i < count; ++i) values[i] = static_cast<float>(i % 1000 + group.rank());
    ASSERT_TRUE(group.AllReduceSum(values.data(), count, DType::kF32).ok());
    for (int64_t i = 0; i < count; ++i) ASSERT_EQ(values[i], static_cast<float>(2 * (i % 1000) + 1)) << i;
  });
}

TEST(StagedWorldTest, DeadlineAndAbortAreTheHosts) {
  OnEveryRank(3, absl::Seconds(2), [](Communicator& group) { CheckDeadlineWhenOneStaysAway(group, 1); });
  OnEveryRank(2, absl::Minutes(5), CheckAbortFromAnotherThread);
}

}  // namespace
}  // namespace deeprack::worker
