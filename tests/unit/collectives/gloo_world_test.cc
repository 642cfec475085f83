// Ranks over gloo: threads of this process with sockets of loopback, and a process that is killed.
#include "worker/collectives/gloo/gloo_world.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/collectives/communicator_checks.h"

namespace deeprack::worker {
namespace {

using testing::HasSubstr;
using Ends = std::vector<std::unique_ptr<GlooEnd>>;
using Joined = absl::StatusOr<std::unique_ptr<Communicator>>;

constexpr absl::Duration kLong = absl::Minutes(5);  // longer than any test takes
constexpr char kHere[] = "127.0.0.1";

bool Never() { return false; }

Ends OpenAll(int size) {
  Ends ends;
  for (int rank = 0; rank < size; ++rank) {
    auto end = OpenGlooWorld(kHere, rank, size);
    EXPECT_TRUE(end.ok()) << end.status();
    ends.push_back(*std::move(end));
  }
  return ends;
}

std::vector<std::string> AddressesOf(const Ends& ends) {
  std::vector<std::string> addresses;
  for (const auto& end : ends) addresses.push_back(end->address());
  return addresses;
}

void OnEveryRank(int size, absl::Duration timeout, const std::function<void(Communicator&)>& body) {
  Ends ends = OpenAll(size);
  const std::vector<std::string> addresses = AddressesOf(ends);
  std::vector<Joined> worlds(size);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      // The time to join is not a part of these tests.
      worlds[rank] = JoinGlooWorld(std::move(ends[rank]), addresses, timeout, Never);
      ASSERT_TRUE(worlds[rank].ok()) << worlds[rank].status();
      EXPECT_EQ((*worlds[rank])->rank(), rank);
      EXPECT_EQ((*worlds[rank])->size(), size);
      body(**worlds[rank]);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

class GlooWorldTest : public testing::TestWithParam<int> {};

TEST_P(GlooWorldTest, KeepsTheContract) {
  OnEveryRank(GetParam(), kLong, [](Communicator& group) {
    CheckSumsInRankOrder(group, DType::kF32);
    CheckSumsInRankOrder(group, DType::kBF16);
    CheckSumDoesNotDependOnPlace(group);
    CheckAllGather(group);
    CheckAllGatherV(group);
    CheckAllToAllV(group);
    CheckSendAndReceiveKeepOrder(group);
    CheckSplit(group);
    CheckManySmallCalls(group);
  });
}
INSTANTIATE_TEST_SUITE_P(Sizes, GlooWorldTest, testing::Values(2, 3, 4));

TEST(GlooFailureTest, DeadlineWhenOneStaysAway) {
  for (int absent : {0, 2}) {
    OnEveryRank(3, absl::Seconds(2),
                [&](Communicator& group) { CheckDeadlineWhenOneStaysAway(group, absent); });
  }
}

TEST(GlooFailureTest, AbortFromAnotherThread) {
  for (int size : {2, 4}) OnEveryRank(size, kLong, CheckAbortFromAnotherThread);
}

TEST(GlooFailureTest, RanksThatDisagreeAboutASizeEndAtTheDeadline) {
  OnEveryRank(2, absl::Seconds(1), [](Communicator& group) {
    std::vector<float> values(8);
    const absl::Status status = group.AllReduceSum(values.data(), group.rank() == 0 ? 8 : 4, DType::kF32);
    EXPECT_TRUE(absl::IsDeadlineExceeded(status) || absl::IsAborted(status)) << status;
    EXPECT_TRUE(absl::IsAborted(group.Barrier()));
  });
}

TEST(GlooFailureTest, AbortAmidTrafficTouchesNoFreedBuffer) {
  for (int round = 0; round < 6; ++round) {
    OnEveryRank(3, kLong, [&](Communicator& group) {
      for (int i = 0;; ++i) {
        std::vector<float> values(500000, 1.0f);
        if (!group.AllReduceSum(values.data(), std::ssize(values), DType::kF32).ok()) break;
        if (group.rank() == round % 3 && i == 3) std::thread([&] { group.Abort(); }).join();
      }
    });
  }
}

TEST(GlooFailureTest, ARankThatNeverJoinsEndsTheOthersWaitAtTheDeadline) {
  Ends ends = OpenAll(2);
  const std::vector<std::string> addresses = AddressesOf(ends);
  const Joined joined = JoinGlooWorld(std::move(ends[0]), addresses, absl::Milliseconds(200), Never);
  // The connection may be made, because the other end listens. Then the exchange after it has the deadline.
  EXPECT_TRUE(absl::IsDeadlineExceeded(joined.status())) << joined.status();
}

TEST(GlooFailureTest, AnEpochThatIsGivenUpEndsTheWait) {
  Ends ends = OpenAll(3);
  const std::vector<std::string> addresses = AddressesOf(ends);
  // Of ranks 0 and 1 one has the lower address and waits to be called.
  std::vector<Joined> joined(2);
  std::vector<std::thread> threads;
  for (int rank : {0, 1}) {
    threads.emplace_back([&, rank] {
      joined[rank] = JoinGlooWorld(std::move(ends[rank]), addresses, absl::Seconds(5), [] { return true; });
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const Joined& each : joined) EXPECT_FALSE(each.ok());
}

TEST(GlooFailureTest, AddressesThatDoNotFitAreRefused) {
  for (const bool short_entry : {false, true}) {
    Ends ends = OpenAll(2);
    std::vector<std::string> addresses = AddressesOf(ends);
    short_entry ? addresses[1].pop_back() : addresses.pop_back();
    const Joined joined = JoinGlooWorld(std::move(ends[0]), addresses, kLong, Never);
    EXPECT_TRUE(absl::IsInvalidArgument(joined.status())) << joined.status();
  }
  {
    Ends ends = OpenAll(2);  // an address of no known family
    const std::vector<std::string> addresses(2, std::string(ends[0]->address().size(), 'x'));
    const Joined joined = JoinGlooWorld(std::move(ends[0]), addresses, kLong, Never);
    EXPECT_TRUE(absl::IsAborted(joined.status())) << joined.status();
  }
  EXPECT_TRUE(absl::IsInvalidArgument(OpenGlooWorld(kHere, 2, 2).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(OpenGlooWorld(kHere, 0, 1).status()));
  const auto elsewhere = OpenGlooWorld("192.0.2.1", 0, 2);  // of no machine (RFC 5737)
  EXPECT_TRUE(absl::IsUnavailable(elsewhere.status())) << elsewhere.status();
  EXPECT_THAT(std::string(elsewhere.status().message()), HasSubstr("192.0.2.1"));
}

// Rank 1 is a process of its own, which is killed in the middle of an exchange.
TEST(GlooFailureTest, AKilledProcessEndsTheCallsOfTheOthers) {
  // The child process opens its end after fork, because gloo has a thread for each end.
  int to_parent[2], to_child[2];
  ASSERT_EQ(pipe(to_parent), 0);
  ASSERT_EQ(pipe(to_child), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto end = OpenGlooWorld(kHere, 1, 2);
    if (!end.ok()) _exit(1);
    const std::string own = (*end)->address();
    if (write(to_parent[1], own.data(), own.size()) != static_cast<ssize_t>(own.size())) _exit(1);
    std::string other(own.size(), '\0');
    if (read(to_child[0], other.data(), other.size()) != static_cast<ssize_t>(other.size())) _exit(1);
    const Joined world = JoinGlooWorld(*std::move(end), std::vector<std::string>{other, own}, kLong, Never);
    if (!world.ok()) _exit(1);
    std::vector<float> values(1 << 20, 1.0f);
    while ((*world)->AllReduceSum(values.data(), std::ssize(values), DType::kF32).ok()) {
    }
    _exit(2);
  }
  auto end = OpenGlooWorld(kHere, 0, 2);
  ASSERT_TRUE(end.ok()) << end.status();
  const std::string own = (*end)->address();
  std::string other(own.size(), '\0');
  ASSERT_EQ(read(to_parent[0], other.data(), other.size()), static_cast<ssize_t>(other.size()));
  ASSERT_EQ(write(to_child[1], own.data(), own.size()), static_cast<ssize_t>(own.size()));
  const Joined world =
      JoinGlooWorld(*std::move(end), std::vector<std::string>{own, other}, absl::Seconds(20), Never);
  ASSERT_TRUE(world.ok()) << world.status();
  std::vector<float> values(1 << 20, 1.0f);
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE((*world)->AllReduceSum(values.data(), std::ssize(values), DType::kF32).ok());
  }
  kill(child, SIGKILL);
  int how = 0;
  ASSERT_EQ(waitpid(child, &how, 0), child);
  EXPECT_TRUE(WIFSIGNALED(how));
  absl::Status status;
  while (status.ok()) status = (*world)->AllReduceSum(values.data(), std::ssize(values), DType::kF32);
  // At its deadline when the connection broke amid a message (gloo_transport.h), else at once.
  EXPECT_TRUE(absl::IsAborted(status) || absl::IsDeadlineExceeded(status)) << status;
  EXPECT_TRUE(absl::IsAborted((*world)->Barrier()));
  for (const int fd : {to_parent[0], to_parent[1], to_child[0], to_child[1]}) close(fd);
}

}  // namespace
}  // namespace deeprack::worker

// gloo does not free the addresses of a host name at which it cannot listen.
extern "C" const char* __lsan_default_suppressions() {  // NOLINT: the name is LeakSanitizer's
  return "leak:gloo::transport::tcp::CreateDeviceAttr";
}

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
