#include "worker/collectives/local/local_world.h"

#include <functional>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "tests/unit/collectives/communicator_checks.h"

namespace deeprack::worker {
namespace {

constexpr absl::Duration kLong = absl::Minutes(5);  // longer than any test takes

void OnEveryRank(int size, absl::Duration timeout, const std::function<void(Communicator&)>& body) {
  std::vector<std::unique_ptr<Communicator>> ranks = MakeLocalWorld(size, timeout);
  std::vector<std::thread> threads;
  for (auto& rank : ranks) threads.emplace_back([&body, &rank] { body(*rank); });
  for (std::thread& thread : threads) thread.join();
}

class LocalWorldTest : public testing::TestWithParam<int> {};

TEST_P(LocalWorldTest, SumsF32InRankOrder) {
  OnEveryRank(GetParam(), kLong, [](Communicator& group) { CheckSumsInRankOrder(group, DType::kF32); });
}
TEST_P(LocalWorldTest, SumsBF16InRankOrder) {
  OnEveryRank(GetParam(), kLong, [](Communicator& group) { CheckSumsInRankOrder(group, DType::kBF16); });
}
TEST_P(LocalWorldTest, SumDoesNotDependOnPlace) {
  OnEveryRank(GetParam(), kLong, CheckSumDoesNotDependOnPlace);
}
TEST_P(LocalWorldTest, AllGather) { OnEveryRank(GetParam(), kLong, CheckAllGather); }
TEST_P(LocalWorldTest, AllGatherV) { OnEveryRank(GetParam(), kLong, CheckAllGatherV); }
TEST_P(LocalWorldTest, AllToAllV) { OnEveryRank(GetParam(), kLong, CheckAllToAllV); }
TEST_P(LocalWorldTest, SendAndReceive) { OnEveryRank(GetParam(), kLong, CheckSendAndReceiveKeepOrder); }
TEST_P(LocalWorldTest, Split) { OnEveryRank(GetParam(), kLong, CheckSplit); }
TEST_P(LocalWorldTest, ManySmallCalls) { OnEveryRank(GetParam(), kLong, CheckManySmallCalls); }
INSTANTIATE_TEST_SUITE_P(Sizes, LocalWorldTest, testing::Values(1, 2, 3, 4));

TEST(LocalWorldFailureTest, DeadlineWhenOneStaysAway) {
  for (int absent : {0, 2}) {
    OnEveryRank(3, absl::Seconds(2),
                [&](Communicator& group) { CheckDeadlineWhenOneStaysAway(group, absent); });
  }
}

TEST(LocalWorldFailureTest, AbortFromAnotherThread) {
  for (int size : {1, 2, 4}) OnEveryRank(size, kLong, CheckAbortFromAnotherThread);
}

TEST(LocalWorldFailureTest, ReceiveWithoutASenderEndsAtTheDeadline) {
  auto ranks = MakeLocalWorld(2, absl::Milliseconds(50));
  char byte = 0;
  EXPECT_TRUE(absl::IsDeadlineExceeded(ranks[0]->Receive(&byte, 1, 1)));
  EXPECT_TRUE(absl::IsAborted(ranks[1]->Send(&byte, 1, 0)));
}

TEST(LocalWorldFailureTest, SendWithoutAReceiverEndsAtTheDeadline) {
  auto ranks = MakeLocalWorld(2, absl::Milliseconds(50));
  char byte = 0;
  EXPECT_TRUE(absl::IsDeadlineExceeded(ranks[0]->Send(&byte, 1, 1)));
}

TEST(LocalWorldFailureTest, RanksThatDisagreeAreToldSo) {
  OnEveryRank(2, kLong, [](Communicator& group) {
    std::vector<float> values(8);
    const absl::Status status = group.AllReduceSum(values.data(), group.rank() == 0 ? 8 : 4, DType::kF32);
    EXPECT_TRUE(absl::IsAborted(status)) << status;
    EXPECT_NE(status.message().find("ranks disagree"), std::string::npos) << status;
    EXPECT_TRUE(absl::IsAborted(group.Barrier()));
  });
}

// A rank that gives up must not return and free its buffers while a peer copies from them. ASan and TSan
// report it otherwise.
TEST(LocalWorldFailureTest, AbortAmidTrafficTouchesNoFreedBuffer) {
  for (int round = 0; round < 50; ++round) {
    OnEveryRank(3, kLong, [&](Communicator& group) {
      for (int i = 0;; ++i) {
        std::vector<float> values(5000, 1.0f);
        if (!group.AllReduceSum(values.data(), std::ssize(values), DType::kF32).ok()) break;
        if (group.rank() == round % 3 && i == 3) group.Abort();
      }
    });
  }
}

}  // namespace
}  // namespace deeprack::worker

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
