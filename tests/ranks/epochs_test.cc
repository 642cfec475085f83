// From one epoch to the next: the workers that stay, the workers that must leave, and the workers that join.
#include <atomic>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/ranks/fake_cluster.h"

namespace deeprack {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using worker::EngineOptions;
using worker::FakeBehaviour;

// Counts the loads that make an engine. A rank that only joins its new world makes none.
FakeBehaviour Counting(std::atomic<int>& loads) {
  FakeBehaviour behaviour;
  behaviour.on_load = [&loads](const EngineOptions&) {
    ++loads;
    return absl::OkStatus();
  };
  return behaviour;
}

class EpochsTest : public testing::Test {
 protected:
  // Starts a worker with a card of its own. Such workers meet over NCCL.
  absl::Status StartOnCard(int rank, std::atomic<int>& loads) {
    worker::WorkerNodeOptions options = cluster_.WorkerOptions(rank);
    options.card = "card " + std::to_string(rank);
    return cluster_.StartWorker(options, Counting(loads));
  }
  void ExpectSteps() {
    const auto result = cluster_.Execute(FakeCluster::Plan(1, cluster_.epoch()));
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->groups[0][0].tokens.at(0), 3003);  // a sum over both ranks
  }
  void LoseRank(int rank) {
    cluster_.StopWorker(rank);
    while (cluster_.pool().health().ok()) absl::SleepFor(absl::Milliseconds(1));
  }

  FakeCluster cluster_{2, {.heartbeat_timeout = kPatience}, std::nullopt, /*reform=*/true};
};

TEST_F(EpochsTest, ASurvivorKeepsItsWeightsBesideAReplacement) {
  std::atomic<int> first = 0, second = 0, replacement = 0;
  ASSERT_TRUE(StartOnCard(0, first).ok());
  ASSERT_TRUE(StartOnCard(1, second).ok());
  cluster_.Connect();
  ASSERT_TRUE(cluster_.Load().ok());
  ExpectSteps();
  LoseRank(1);
  EXPECT_THAT(cluster_.membership().missing(), ElementsAre(1));
  EXPECT_EQ(cluster_.membership().joined(), 1);

  ASSERT_TRUE(StartOnCard(1, replacement).ok());
  cluster_.Reconnect();
  EXPECT_EQ(cluster_.epoch(), 2u);
  const auto loaded = cluster_.Load();
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  ExpectSteps();
  EXPECT_EQ(first, 1);
  EXPECT_EQ(replacement, 1);
}

// Both ranks make no progress. The next epoch begins without either of them.
TEST_F(EpochsTest, RanksThatAreExpelledTogetherAreAllGone) {
  std::atomic<int> loads = 0;
  for (int rank : {0, 1}) ASSERT_TRUE(StartOnCard(rank, loads).ok());
  cluster_.Connect();
  cluster_.membership().Expel(7, {{0, "hangs"}});  // no such epoch
  EXPECT_EQ(cluster_.membership().joined(), 2);
  std::vector<Rank> lost;
  cluster_.membership().OnLoss([&](const coordinator::Loss& loss) { lost.push_back(loss.rank); });
  cluster_.membership().Expel(1, {{0, "hangs"}, {1, "hangs too"}});
  EXPECT_EQ(cluster_.membership().joined(), 0);
  EXPECT_THAT(cluster_.membership().missing(), ElementsAre(0, 1));
  EXPECT_EQ(lost.size(), 1u);  // the first loss ends the epoch
}

TEST_F(EpochsTest, AFailedStepNeedsNoNewProcess) {
  std::atomic<int> loads = 0;
  for (int rank : {0, 1}) ASSERT_TRUE(StartOnCard(rank, loads).ok());
  cluster_.Connect();
  ASSERT_TRUE(cluster_.Load().ok());
  cluster_.pool().Lose("the test says so");
  cluster_.membership().EndEpoch(1);
  cluster_.membership().EndEpoch(1);  // epoch 1 is over already, so this does nothing
  cluster_.Reconnect();
  EXPECT_EQ(cluster_.epoch(), 2u);
  ASSERT_TRUE(cluster_.Load().ok());
  ExpectSteps();
  EXPECT_EQ(loads, 2);
}

TEST_F(EpochsTest, RanksOfAnMpiWorldMustComeAnew) {
  cluster_.StartAllWorkers({});
  cluster_.Connect();
  ASSERT_TRUE(cluster_.Load().ok());
  LoseRank(1);
  const absl::Status end = cluster_.node(0).WaitUntilEnd();
  EXPECT_TRUE(absl::IsAborted(end)) << end;
  EXPECT_THAT(std::string(end.message()), HasSubstr("start it again"));
  EXPECT_THAT(cluster_.membership().missing(), ElementsAre(0, 1));

  cluster_.StopWorker(0);
  cluster_.StartAllWorkers({});
  cluster_.Reconnect();
  EXPECT_EQ(cluster_.epoch(), 2u);
  ASSERT_TRUE(cluster_.Load().ok());
  ExpectSteps();
  EXPECT_TRUE(cluster_.pool().health().ok()) << "the old ones' leaving is no loss of the new ones";
}

TEST_F(EpochsTest, WhoIsTurnedDownOrLeavesBeforeAllHaveComeEndsNothing) {
  cluster_.StartAllWorkers({});
  cluster_.Connect();
  LoseRank(1);
  cluster_.StopWorker(0);
  ASSERT_TRUE(cluster_.StartWorker(0, {}, /*world=*/4).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(cluster_.node(0).WaitUntilEnd()));
  ASSERT_TRUE(cluster_.StartWorker(1).ok());
  while (cluster_.membership().joined() < 1) absl::SleepFor(absl::Milliseconds(1));
  cluster_.StopWorker(1);
  while (cluster_.membership().joined() > 0) absl::SleepFor(absl::Milliseconds(1));
  const auto nobody = cluster_.membership().WaitForWorld(absl::Milliseconds(10));
  EXPECT_TRUE(absl::IsDeadlineExceeded(nobody.status())) << nobody.status();
  EXPECT_THAT(std::string(nobody.status().message()), HasSubstr("missing launch ranks 0, 1"));
  EXPECT_THAT(std::string(nobody.status().message()), HasSubstr("the launcher started 4 workers"));

  cluster_.StartAllWorkers({});
  cluster_.Reconnect();
  ASSERT_TRUE(cluster_.Load().ok());
  ExpectSteps();
}

TEST_F(EpochsTest, OneLossAfterTheOther) {
  std::atomic<int> loads = 0;
  for (int rank : {0, 1}) ASSERT_TRUE(StartOnCard(rank, loads).ok());
  cluster_.Connect();
  ASSERT_TRUE(cluster_.Load().ok());
  for (Epoch epoch = 2; epoch < 12; ++epoch) {
    const int rank = static_cast<int>(epoch % 2);
    LoseRank(rank);
    ASSERT_TRUE(StartOnCard(rank, loads).ok());
    cluster_.Reconnect();
    EXPECT_EQ(cluster_.epoch(), epoch);
    const auto loaded = cluster_.Load();
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    ExpectSteps();
  }
  EXPECT_EQ(loads, 2 + 10);
}

// A goodbye is reported late, so that a cause that is learned after it is reported first. A new worker does
// not wait for that.
TEST(RosterTest, AReplacementForAWorkerThatLeftIsTakenAtOnce) {
  SystemClock clock;
  coordinator::Roster roster({.layouts = {{.tp = 2}}, .reform = true}, &clock);  // nothing calls CheckHealth
  SilentStream stream;
  const auto join = [&](int64_t pid) {
    return roster.OnHello({.host = "node", .pid = pid, .backend = "cpu", .gloo = true}, &stream);
  };
  const auto first = join(1);
  ASSERT_TRUE(first.ok() && join(2).ok());
  ASSERT_TRUE(roster.WaitForWorld(absl::ZeroDuration()).ok());
  roster.OnEnd(*first, "it left: signal 15", /*on_purpose=*/true);
  const auto third = join(3);
  ASSERT_TRUE(third.ok()) << third.status();
  const auto world = roster.WaitForWorld(absl::ZeroDuration());
  ASSERT_TRUE(world.ok()) << world.status();
  EXPECT_EQ(world->epoch, 2u);
}

}  // namespace
}  // namespace deeprack
