// Joining, loading and stepping, and the failures of a rank in each of them.
#include <atomic>
#include <future>
#include <map>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/ranks/fake_cluster.h"
#include "worker/collectives/local/local_world.h"

namespace deeprack {
namespace {

using testing::HasSubstr;
using worker::EngineOptions;
using worker::FakeBehaviour;

std::string MessageOf(const absl::Status& status) { return std::string(status.message()); }

// A rank that stays in its step until Release.
class Trap {
 public:
  FakeBehaviour Behaviour() {
    FakeBehaviour behaviour;
    behaviour.on_step = [this](const worker::GroupStep&) {
      entered_.set_value();
      released_.get_future().wait();
      return absl::AbortedError("let go");
    };
    return behaviour;
  }
  void AwaitEntry() { entered_.get_future().wait(); }
  void Release() { released_.set_value(); }

 private:
  std::promise<void> entered_, released_;
};

TEST(RanksTest, JoinLoadAndStep) {
  FakeCluster cluster(3);
  cluster.StartAllWorkers({});
  cluster.Connect();
  coordinator::LoadOptions options = cluster.Options();
  options.speculative_tokens = 3;
  const auto loaded = cluster.Load(options);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->kv_blocks, 98);          // the least of all ranks: rank 2's
  EXPECT_EQ(loaded->speculative_tokens, 2);  // the least: rank 0's
  EXPECT_EQ(loaded->ranks.size(), 3u);
  for (StepId step = 1; step <= 20; ++step) {
    const auto result = cluster.Execute(FakeCluster::Plan(step));
    ASSERT_TRUE(result.ok()) << result.status();
    ASSERT_EQ(result->groups[0].size(), 2u);
    EXPECT_EQ(result->groups[0][0].sequence, 11u);
    EXPECT_EQ(result->groups[0][0].tokens.at(0), 3007);  // 1 + 2 + 4: all three ranks took part
    EXPECT_EQ(result->groups[0][1].tokens.at(0), 4007);
  }
}

TEST(RanksTest, LoadingReportsTheBytesOfAllRanks) {
  FakeCluster cluster(2);
  cluster.StartAllWorkers({});
  cluster.Connect();
  int64_t last_done = 0, last_total = 0;
  const auto loaded = cluster.Load(cluster.Options(), {.progress = [&](int64_t done, int64_t total) {
                                     EXPECT_LE(done, total);
                                     last_done = done;
                                     last_total = total;
                                   }});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(last_total, 2001);
  EXPECT_EQ(last_done, 2001);
}

// How the ranks met in a load over `plane`.
std::vector<std::string> MeetingsOver(bool coordinator::LoadOptions::*plane, int ranks) {
  FakeCluster cluster(ranks);
  cluster.StartAllWorkers({});
  cluster.Connect();
  coordinator::LoadOptions options = cluster.Options();
  options.*plane = true;
  const auto loaded = cluster.Load(options);
  EXPECT_TRUE(loaded.ok()) << loaded.status();
  return cluster.meetings();
}

TEST(RanksTest, TheSecretOfAnNcclWorldIsRankZerosOnEveryRank) {
  EXPECT_THAT(MeetingsOver(&coordinator::LoadOptions::over_nccl, 3),
              testing::UnorderedElementsAre("0: opened by 0", "1: opened by 0", "2: opened by 0"));
}

TEST(RanksTest, TheEndsOfAGlooWorldAreKnownToEveryRank) {
  EXPECT_THAT(MeetingsOver(&coordinator::LoadOptions::over_gloo, 2),
              testing::UnorderedElementsAre("0: opened by 0, opened by 1", "1: opened by 0, opened by 1"));
}

TEST(RanksTest, TooFewWorkersAreCountedAndNamed) {
  FakeCluster cluster(4);
  ASSERT_TRUE(cluster.StartWorker(2).ok());
  ASSERT_TRUE(cluster.StartWorker(0).ok());
  while (cluster.membership().joined() < 2) std::this_thread::yield();
  const auto members = cluster.membership().WaitForWorld(absl::Milliseconds(50));
  EXPECT_TRUE(absl::IsDeadlineExceeded(members.status()));
  EXPECT_THAT(MessageOf(members.status()), HasSubstr("2 of 4 workers joined; missing launch ranks 1, 3"));
}

TEST(RanksTest, AWorkerOfAnotherLaunchIsTurnedDown) {
  FakeCluster cluster(2);
  ASSERT_TRUE(cluster.StartWorker(0, {}, /*world=*/4).ok());
  const absl::Status end = cluster.node(0).WaitUntilEnd();
  EXPECT_TRUE(absl::IsFailedPrecondition(end)) << end;
  EXPECT_THAT(MessageOf(end), HasSubstr("the launcher started 4 workers"));
  const auto members = cluster.membership().WaitForWorld(kPatience);  // returns at once
  EXPECT_TRUE(absl::IsFailedPrecondition(members.status())) << members.status();
}

TEST(RanksTest, AWorkerThatLeavesBeforeAllAreThereIsNamedAtOnce) {
  FakeCluster cluster(2);
  ASSERT_TRUE(cluster.StartWorker(1).ok());
  while (cluster.membership().joined() < 1) std::this_thread::yield();
  cluster.StopWorker(1);
  const auto members = cluster.membership().WaitForWorld(kPatience);
  EXPECT_TRUE(absl::IsUnavailable(members.status())) << members.status();
  EXPECT_THAT(MessageOf(members.status()), HasSubstr("rank 1 (pid"));
}

TEST(RanksTest, WithoutACoordinatorAWorkerGivesUp) {
  const auto node = worker::WorkerNode::Start(
      {.coordinator = "127.0.0.1:1", .connect_timeout = absl::Milliseconds(100)},
      [](const worker::WorldRequest&) { return absl::InternalError("not reached"); },
      worker::MakeFakeEngines({}));
  EXPECT_TRUE(absl::IsUnavailable(node.status())) << node.status();
  EXPECT_THAT(MessageOf(node.status()), HasSubstr("127.0.0.1:1"));
}

TEST(RanksTest, APortInUseIsSaidSo) {
  SystemClock clock;
  const auto first = coordinator::Membership::Start({}, &clock);
  ASSERT_TRUE(first.ok());
  const std::string taken = "127.0.0.1:" + std::to_string((*first)->port());
  const auto second = coordinator::Membership::Start({.listen = taken}, &clock);
  EXPECT_TRUE(absl::IsUnavailable(second.status()));
  EXPECT_THAT(MessageOf(second.status()), HasSubstr(taken));
}

TEST(RanksTest, ALoadErrorNamesItsRankAndKeepsItsCode) {
  FakeCluster cluster(3);
  FakeBehaviour damaged;
  damaged.on_load = [](const EngineOptions&) {
    return absl::DataLossError("model-00001.safetensors: truncated");
  };
  cluster.StartAllWorkers({{}, damaged, {}});
  cluster.Connect();
  const auto loaded = cluster.Load();
  EXPECT_TRUE(absl::IsDataLoss(loaded.status())) << loaded.status();
  EXPECT_THAT(MessageOf(loaded.status()), HasSubstr("rank 1 (pid"));
  EXPECT_THAT(MessageOf(loaded.status()), HasSubstr("model-00001.safetensors: truncated"));
  EXPECT_TRUE(absl::IsDataLoss(cluster.node(1).load_status()));
}

TEST(RanksTest, AStaleEpochIsRefusedAndDoesNotReachTheEngine) {
  FakeCluster cluster(2);
  cluster.StartAllWorkers({});
  cluster.Connect();
  ASSERT_TRUE(cluster.Load().ok());
  const auto stale = cluster.Execute(FakeCluster::Plan(1, /*epoch=*/0));
  EXPECT_TRUE(absl::IsFailedPrecondition(stale.status())) << stale.status();
  EXPECT_THAT(MessageOf(stale.status()), HasSubstr("is of epoch 0; this worker is in epoch 1"));
  // The workers still take the plan of their epoch.
  coordinator::RankStepExecutor another(&cluster.pool(), cluster.layout(), FakeCluster::kVocabulary);
  EXPECT_TRUE(Execute(another, FakeCluster::Plan(1)).ok());
}

TEST(RanksTest, AStepWithoutAModelIsRefused) {
  FakeCluster cluster(1);
  cluster.StartAllWorkers({});
  cluster.Connect();
  const auto result = cluster.Execute(FakeCluster::Plan(1));
  EXPECT_TRUE(absl::IsFailedPrecondition(result.status())) << result.status();
}

TEST(RanksTest, AnErrorInAStepNamesItsRankNotThoseThatWaitedForIt) {
  FakeCluster cluster(3);
  FakeBehaviour broken;
  broken.on_step = [](const worker::GroupStep&) { return absl::InternalError("the kernel is out of order"); };
  cluster.StartAllWorkers({{}, {}, broken});
  cluster.Connect();
  ASSERT_TRUE(cluster.Load().ok());
  // Ranks 0 and 1 wait in the all-reduce. The executor cancels their calls, which breaks their world.
  const auto result = cluster.Execute(FakeCluster::Plan(1));
  EXPECT_TRUE(absl::IsInternal(result.status())) << result.status();
  EXPECT_THAT(MessageOf(result.status()), HasSubstr("rank 2 (pid"));
  EXPECT_THAT(MessageOf(result.status()), HasSubstr("out of order"));
  EXPECT_EQ(cluster.Execute(FakeCluster::Plan(2)).status(), result.status());  // the epoch is over
}

// A page that the ranks do not have. The ranks refuse the sequence alike, and the others have their tokens.
TEST(RanksTest, ASequenceThatTheRanksRefuseLeavesTheEpochAsItIs) {
  FakeCluster cluster(3);
  cluster.StartAllWorkers({});
  cluster.Connect();
  ASSERT_TRUE(cluster.Load().ok());
  ASSERT_TRUE(cluster.Execute(FakeCluster::Plan(1)).ok());
  model::StepPlan wrong = FakeCluster::Plan(2);
  wrong.groups[0].pages[1].pages = {100};
  const auto refused = cluster.Execute(wrong);
  ASSERT_TRUE(refused.ok()) << refused.status();
  EXPECT_EQ(refused->groups[0][0].tokens.at(0), 3007);
  EXPECT_EQ(refused->groups[0][1].sequence, 10u);
  EXPECT_EQ(refused->groups[0][1].refused, "sequence 10: block 100 of 100");
  EXPECT_TRUE(refused->groups[0][1].tokens.empty());
  const auto next = cluster.Execute(FakeCluster::Plan(3));
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_EQ(next->groups[0][1].tokens.at(0), 4007);
}

TEST(RanksTest, TwoStepsUnderWayAreAnsweredInOrder) {
  FakeCluster cluster(2);
  cluster.StartAllWorkers({});
  cluster.Connect();
  ASSERT_TRUE(cluster.Load().ok());
  ASSERT_TRUE(cluster.executor().Send(FakeCluster::Plan(1)).ok());
  for (StepId step = 2; step <= 50; ++step) {
    ASSERT_TRUE(cluster.executor().Send(FakeCluster::Plan(step)).ok());
    const auto result = cluster.executor().Receive();
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->step, step - 1);
    EXPECT_EQ(result->groups[0][0].tokens.at(0), 3003);
  }
  EXPECT_EQ(cluster.executor().Receive()->step, 50u);
}

TEST(RanksTest, ATokenOutsideTheVocabularyNamesItsRankAndEndsTheEpoch) {
  FakeCluster cluster(2);
  cluster.StartAllWorkers({});
  cluster.Connect();
  ASSERT_TRUE(cluster.Load().ok());
  coordinator::RankStepExecutor executor(&cluster.pool(), cluster.layout(), /*vocab_size=*/3003);
  const auto result = Execute(executor, FakeCluster::Plan(1));  // rank 0 answers with token 3003
  EXPECT_TRUE(absl::IsInternal(result.status())) << result.status();
  EXPECT_THAT(MessageOf(result.status()),
              HasSubstr("rank 0 answered step 1 for sequence 11 with token 3003"));
  EXPECT_EQ(Execute(executor, FakeCluster::Plan(2)).status(), result.status());
}

TEST(RanksTest, ARankThatHangsInItsReadsIsNamedAndLost) {
  std::promise<void> let_go;
  FakeBehaviour hangs;
  hangs.on_read = [released = let_go.get_future().share()] {
    released.wait();
    return absl::AbortedError("let go");
  };
  FakeCluster cluster(2);
  cluster.StartAllWorkers({{}, hangs});
  cluster.Connect();
  coordinator::LoadOptions options = cluster.Options();
  options.progress_timeout = absl::Seconds(1);
  std::vector<Rank> stalled;
  const absl::Status status = cluster
                                  .Load(options, {.stalled =
                                                      [&](const std::map<Rank, std::string>& why) {
                                                        for (const auto& [rank, reason] : why) {
                                                          stalled.push_back(rank);
                                                        }
                                                        cluster.membership().Expel(1, why);
                                                      }})
                                  .status();
  let_go.set_value();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(MessageOf(status), HasSubstr("rank 1 (pid"));
  EXPECT_THAT(MessageOf(status),
              HasSubstr("was lost: its load has made no progress for 1s at 0 of 1001 bytes"));
  EXPECT_THAT(stalled, testing::ElementsAre(1));
  EXPECT_TRUE(absl::IsUnavailable(cluster.pool().health()));
}

TEST(RanksTest, ALostRankEndsTheStepUnderWay) {
  Trap trap;
  FakeCluster cluster(2);
  cluster.StartAllWorkers({{}, trap.Behaviour()});
  cluster.Connect();
  ASSERT_TRUE(cluster.Load().ok());
  auto running = std::async(std::launch::async, [&] { return cluster.Execute(FakeCluster::Plan(1)); });
  trap.AwaitEntry();
  cluster.pool().Lose("rank 1 (pid 1 on here) was lost: the test says so");
  const auto result = running.get();  // returns although rank 1 is still in its step
  EXPECT_TRUE(absl::IsUnavailable(result.status())) << result.status();
  EXPECT_THAT(MessageOf(result.status()), HasSubstr("rank 1 (pid 1 on here) was lost"));
  EXPECT_TRUE(absl::IsUnavailable(cluster.Load().status()));
  trap.Release();
}

TEST(RanksTest, AStuckRankIsLost) {
  Trap trap;
  FakeCluster cluster(2, {.heartbeat_timeout = kPatience, .stuck_timeout = absl::Milliseconds(300)});
  cluster.StartAllWorkers({trap.Behaviour(), {}});
  cluster.Connect();
  ASSERT_TRUE(cluster.Load().ok());
  const auto result = cluster.Execute(FakeCluster::Plan(1));
  EXPECT_TRUE(absl::IsUnavailable(result.status())) << result.status();
  EXPECT_THAT(MessageOf(result.status()), HasSubstr("finished no step for 300ms"));
  trap.Release();
}

TEST(RanksTest, ALossIsToldOnceToThoseThatAskLaterToo) {
  FakeCluster cluster(2);
  cluster.StartAllWorkers({});
  cluster.Connect();
  std::promise<coordinator::Loss> told;
  cluster.membership().OnLoss([&](const coordinator::Loss& loss) { told.set_value(loss); });
  cluster.StopWorker(1);
  const coordinator::Loss loss = told.get_future().get();
  EXPECT_EQ(loss.rank, 1);
  EXPECT_THAT(loss.why, HasSubstr("it left"));
  int past = 0;
  cluster.membership().OnLoss([&](const coordinator::Loss& seen) { past += seen.rank == 1; });
  EXPECT_EQ(past, 1);
  EXPECT_TRUE(absl::IsUnavailable(cluster.pool().health()));
}

TEST(RanksTest, WorkersStopWhenTold) {
  FakeCluster cluster(2);
  cluster.StartAllWorkers({});
  cluster.Connect();
  cluster.membership().ExpectDepartures();
  cluster.pool().StopWorkers("the test is over", kPatience);
  EXPECT_TRUE(cluster.node(0).WaitUntilEnd().ok());
  EXPECT_TRUE(cluster.node(1).WaitUntilEnd().ok());
  EXPECT_TRUE(cluster.pool().health().ok());
}

TEST(RanksTest, WorkersEndWhenTheCoordinatorGoesAway) {
  SystemClock clock;
  auto membership = coordinator::Membership::Start({}, &clock);
  ASSERT_TRUE(membership.ok());
  const auto node = worker::WorkerNode::Start(
      {.coordinator = "127.0.0.1:" + std::to_string((*membership)->port()), .launch_rank = 0},
      [](const worker::WorldRequest&) { return absl::InternalError("not reached"); },
      worker::MakeFakeEngines({}));
  ASSERT_TRUE(node.ok()) << node.status();
  ASSERT_TRUE((*membership)->WaitForWorld(kPatience).ok());
  membership->reset();
  const absl::Status end = (*node)->WaitUntilEnd();
  EXPECT_TRUE(absl::IsUnavailable(end)) << end;
  EXPECT_THAT(MessageOf(end), HasSubstr("went away"));
}

TEST(RanksTest, AReplacementInASmallerLayoutIsTakenAtOnce) {
  SystemClock clock;
  const model::Layout large = {.tp = 3}, small = {.tp = 2};
  auto membership =
      coordinator::Membership::Start({.listen = "", .layouts = {large, small}, .reform = true}, &clock);
  ASSERT_TRUE(membership.ok());
  SilentStream stream;
  std::vector<int> members;
  const auto join = [&](int64_t pid) {
    const auto member = (*membership)
                            ->handler()
                            .OnHello({.host = "node", .pid = pid, .backend = "cpu", .gloo = true}, &stream);
    ASSERT_TRUE(member.ok()) << member.status();
    members.push_back(*member);
  };
  join(1);
  join(2);
  EXPECT_TRUE(absl::IsDeadlineExceeded((*membership)->WaitForWorld(absl::ZeroDuration()).status()));
  ASSERT_TRUE((*membership)->FormLargestFilled());
  (*membership)->handler().OnEnd(members[0], "its connection broke", /*on_purpose=*/false);
  EXPECT_TRUE(absl::IsDeadlineExceeded((*membership)->WaitForWorld(absl::ZeroDuration()).status()));
  join(3);
  const auto world = (*membership)->WaitForWorld(absl::ZeroDuration());
  ASSERT_TRUE(world.ok()) << world.status();
  EXPECT_EQ(world->epoch, 2u);
  EXPECT_EQ(world->layout, small);
}

// A coordinator and one worker without a launcher, each started when the test says so. The port stays the
// same.
class ComeBackTest : public testing::Test {
 protected:
  void StartCoordinator() {
    coordinator::MembershipOptions options{.listen = "127.0.0.1:" + std::to_string(port_),
                                           .load_options = coordinator::DigestOfLoad(Options(0))};
    auto membership = coordinator::Membership::Start(options, &clock_);
    ASSERT_TRUE(membership.ok()) << membership.status();
    membership_ = *std::move(membership);
    port_ = membership_->port();
  }
  void StartWorker(absl::Duration wait) {
    FakeBehaviour counts;
    counts.on_load = [this](const EngineOptions&) {
      ++loads_;
      return absl::OkStatus();
    };
    auto node = worker::WorkerNode::Start(
        {.coordinator = "127.0.0.1:" + std::to_string(port_), .coordinator_wait = wait},
        [](const worker::WorldRequest&) { return std::move(worker::MakeLocalWorld(1, kPatience).front()); },
        worker::MakeFakeEngines(counts));
    ASSERT_TRUE(node.ok()) << node.status();
    node_ = *std::move(node);
    end_ = std::async(std::launch::async, [this] { return node_->WaitUntilEnd(); });
  }
  static coordinator::LoadOptions Options(Epoch epoch) {
    coordinator::LoadOptions options;
    options.epoch = epoch;
    options.model_path = "none";
    return options;
  }
  // Returns the epoch of the load.
  Epoch Load() {
    const auto world = membership_->WaitForWorld(kPatience);
    EXPECT_TRUE(world.ok()) << world.status();
    if (!world.ok()) return 0;
    const JoinedNode& node = world->members.front().node;
    pool_ = coordinator::ConnectWorkers({{node.address, node.host, node.pid}}, std::nullopt);
    const auto loaded = coordinator::LoadModel(pool_.get(), Options(world->epoch), &clock_, {});
    EXPECT_TRUE(loaded.ok()) << loaded.status();
    return world->epoch;
  }

  using JoinedNode = coordinator::JoinedNode;
  SystemClock clock_;
  int port_ = 0;
  std::unique_ptr<coordinator::Membership> membership_;
  std::unique_ptr<coordinator::WorkerPool> pool_;
  std::atomic<int> loads_ = 0;
  std::unique_ptr<worker::WorkerNode> node_;
  std::future<absl::Status> end_;
};

TEST_F(ComeBackTest, TheNextCoordinatorFindsTheWeights) {
  StartCoordinator();
  StartWorker(kPatience);
  EXPECT_EQ(Load(), 1u);
  for (Epoch epoch = 2; epoch < 5; ++epoch) {
    membership_.reset();
    StartCoordinator();
    EXPECT_EQ(Load(), epoch);
    coordinator::RankStepExecutor executor(pool_.get(), {}, FakeCluster::kVocabulary);
    EXPECT_FALSE(Execute(executor, FakeCluster::Plan(1, epoch - 1)).ok())
        << "a plan of the coordinator before";
    coordinator::RankStepExecutor another(pool_.get(), {}, FakeCluster::kVocabulary);
    EXPECT_TRUE(Execute(another, FakeCluster::Plan(1, epoch)).ok());
  }
  EXPECT_EQ(loads_, 1);
  node_->RequestStop("the test is over");
  EXPECT_TRUE(end_.get().ok());
}

TEST_F(ComeBackTest, AWorkerThatIsDismissedDoesNotWait) {
  StartCoordinator();
  StartWorker(kPatience);
  EXPECT_EQ(Load(), 1u);
  membership_->Dismiss("the test is over");
  membership_.reset();
  const absl::Status end = end_.get();
  EXPECT_TRUE(end.ok()) << end;
}

TEST_F(ComeBackTest, NobodyComesBack) {
  StartCoordinator();
  StartWorker(absl::Milliseconds(50));
  EXPECT_EQ(Load(), 1u);
  membership_.reset();
  const absl::Status end = end_.get();
  EXPECT_TRUE(absl::IsUnavailable(end)) << end;
  EXPECT_THAT(MessageOf(end), HasSubstr("none came back within 50ms (--coordinator-wait)"));
}

TEST_F(ComeBackTest, AWorkerWhoseStreamBrokeTakesItsPlaceAgain) {
  SilentStream stream;
  auto membership = coordinator::Membership::Start({.listen = "", .reform = true}, &clock_);
  ASSERT_TRUE(membership.ok());
  coordinator::AttachHandler& handler = (*membership)->handler();
  JoinedNode node{.host = "node", .pid = 1, .address = "node:1", .backend = "cpu"};
  const auto before = handler.OnHello(node, &stream);
  ASSERT_TRUE(before.ok());
  // The worker has noticed that its stream broke, and this side has not.
  node.last_epoch = 1;
  node.kept_rank = 0;
  ASSERT_TRUE(handler.OnHello(node, &stream).ok());
  EXPECT_EQ((*membership)->WaitForWorld(kPatience)->epoch, 2u);
  handler.OnEnd(*before, "its connection broke", /*on_purpose=*/false);
  EXPECT_EQ((*membership)->joined(), 1);
}

}  // namespace
}  // namespace deeprack
