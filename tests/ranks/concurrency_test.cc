// Membership, calls to workers and recovery among threads, without gRPC: ThreadSanitizer sees all of it.
#include <array>
#include <atomic>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "coordinator/api/api_context.h"
#include "coordinator/api/responses/response_store.h"
#include "coordinator/cluster.h"
#include "coordinator/dispatch/load_model.h"
#include "coordinator/dispatch/rank_step_executor.h"
#include "coordinator/dispatch/worker_calls.h"
#include "coordinator/membership/membership.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "settings/settings.h"
#include "tests/ranks/local_worker.h"
#include "tests/ranks/one_step.h"

namespace deeprack {
namespace {

using coordinator::Loss;
using testing::HasSubstr;
using worker::EngineOptions;
using worker::FakeBehaviour;

constexpr absl::Duration kPatience = absl::Seconds(60);
constexpr int32_t kVocabulary = 10'000'000;  // fake engines name tokens by position, so ids grow large

template <class Condition>
void Await(const Condition& condition) {
  while (!condition()) absl::SleepFor(absl::Milliseconds(1));
}

// The workers in this process, and the coordinator's clients for the workers of a world.
class Rack {
 public:
  LocalWorker& Add(FakeBehaviour behaviour = {}) {
    const std::lock_guard lock(mutex_);
    const auto pid = static_cast<int64_t>(workers_.size());
    workers_.push_back(std::make_unique<LocalWorker>(pid, &worlds_, std::move(behaviour)));
    return *workers_.back();
  }
  void BeatAll() {
    const std::lock_guard lock(mutex_);
    for (const auto& worker : workers_) worker->Beat().IgnoreError();
  }
  void DieAll() {
    const std::lock_guard lock(mutex_);
    for (const auto& worker : workers_) worker->Die();
  }
  LocalWorker& worker(int64_t pid) {
    const std::lock_guard lock(mutex_);
    return *workers_[pid];
  }
  std::unique_ptr<coordinator::WorkerPool> Connect(const coordinator::World& world) {
    std::vector<coordinator::WorkerPool::Worker> ranks;
    for (const coordinator::Member& member : world.members) {
      ranks.push_back({member.node.host, member.node.pid, worker(member.node.pid).MakeClient()});
    }
    return std::make_unique<coordinator::WorkerPool>(std::move(ranks));
  }

 private:
  LocalWorlds worlds_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<LocalWorker>> workers_;  // entry p is the worker with pid p
};

std::unique_ptr<coordinator::Membership> MakeMembership(int ranks, Clock* clock,
                                                        coordinator::HealthLimits health) {
  return coordinator::Membership::Start(
             {.listen = "", .layouts = {{.tp = ranks}}, .reform = true, .health = health}, clock)
      .value();
}

TEST(ConcurrentMembership, WorkersJoinBeatAndDieInThreadsOfTheirOwn) {
  constexpr int kRanks = 4;
  SystemClock clock;
  std::atomic<int> losses = 0;
  std::atomic<bool> ending = false, first_is_there = false;
  auto membership = MakeMembership(kRanks, &clock, {.heartbeat_timeout = kPatience});
  Rack rack;
  membership->OnLoss([&](const Loss&) { ++losses; });
  // Each thread is one place. A worker joins in it, sends some heartbeats, dies, and is replaced.
  std::vector<std::thread> places;
  for (int place = 0; place < kRanks; ++place) {
    places.emplace_back([&, place] {
      for (int life = 1; !ending; ++life) {
        LocalWorker& worker = rack.Add();
        while (!ending && !worker.Join(&membership->handler()).ok()) absl::SleepFor(absl::Milliseconds(1));
        while (!ending && !first_is_there) absl::SleepFor(absl::Milliseconds(1));
        for (int beat = 0; beat < 5 * (place + 1) * life && !ending; ++beat) {
          if (!worker.Beat().ok()) break;
          absl::SleepFor(absl::Milliseconds(1));
        }
        worker.Die();
      }
    });
  }
  Epoch last = 0;
  while (last < 10) {
    const auto world = membership->WaitForWorld(kPatience);
    EXPECT_TRUE(world.ok()) << world.status();
    if (!world.ok()) break;
    first_is_there = true;
    EXPECT_EQ(world->members.size(), size_t{kRanks});
    EXPECT_GE(world->epoch, last);
    if (world->epoch == last) absl::SleepFor(absl::Milliseconds(1));
    last = world->epoch;
    EXPECT_LE(membership->joined(), kRanks);
    membership->missing();
    if (last % 3 == 0) membership->EndEpoch(last);
  }
  ending = true;
  for (std::thread& place : places) place.join();
  EXPECT_GT(losses, 0);
}

TEST(ConcurrentMembership, ASilentWorkerIsLost) {
  SystemClock clock;
  std::atomic<bool> lost = false;
  auto membership = MakeMembership(2, &clock, {.heartbeat_timeout = absl::Milliseconds(500)});
  Rack rack;  // destroyed first, because its workers leave membership
  membership->OnLoss([&](const Loss& loss) {
    EXPECT_THAT(loss.why, HasSubstr("no heartbeat for 500ms"));
    lost = true;
  });
  ASSERT_TRUE(rack.Add().Join(&membership->handler()).ok());
  ASSERT_TRUE(rack.Add().Join(&membership->handler()).ok());
  ASSERT_TRUE(membership->WaitForWorld(kPatience).ok());
  Await([&] { return lost.load(); });
}

class ConcurrentCalls : public testing::Test {
 protected:
  void Start(const std::vector<FakeBehaviour>& behaviours) {
    coordinator::World world{.epoch = 1};
    for (const FakeBehaviour& behaviour : behaviours) {
      rack_.Add(behaviour);
      const auto rank = static_cast<Rank>(world.members.size());
      world.members.push_back({rank, {.host = "here", .pid = rank}});
    }
    pool_ = rack_.Connect(world);
    options_.layout = {.tp = static_cast<int32_t>(behaviours.size())};
    options_.model_path = "none";
    options_.over_nccl = true;
  }
  absl::Status Load() { return coordinator::LoadModel(pool_.get(), options_, &clock_, {}).status(); }
  static model::StepPlan Plan(StepId step) {
    return PlanOf({{.sequence = 7, .prompt_size = 3, .tokens = {1, 2, 3, 5}, .num_computed = 3}}, step, 1);
  }

  SystemClock clock_;
  Rack rack_;
  coordinator::LoadOptions options_;
  std::unique_ptr<coordinator::WorkerPool> pool_;
};

TEST_F(ConcurrentCalls, StepsUntilARankIsLostFromAnotherThread) {
  Start({{}, {}, {}});
  ASSERT_TRUE(Load().ok());
  std::atomic<bool> under_way = false;
  std::thread loses([&] {
    Await([&] { return under_way.load(); });
    absl::SleepFor(absl::Milliseconds(20));
    pool_->Lose("rank 2 (pid 2 on here) was lost: the test says so");
  });
  coordinator::RankStepExecutor executor(pool_.get(), options_.layout, kVocabulary);
  absl::Status end;
  for (StepId step = 1; end.ok(); ++step) {
    const auto result = Execute(executor, Plan(step));
    if (result.ok()) {
      EXPECT_EQ(result->groups[0][0].tokens.at(0), 3007);
    }
    end = result.status();
    under_way = true;
  }
  loses.join();
  EXPECT_TRUE(absl::IsUnavailable(end)) << end;
  EXPECT_THAT(std::string(end.message()), HasSubstr("rank 2 (pid 2 on here) was lost"));
  EXPECT_TRUE(absl::IsUnavailable(Load()));
}

TEST_F(ConcurrentCalls, AnErrorOfOneRankCancelsTheOthersAndIsTheOneTold) {
  FakeBehaviour broken;
  broken.on_step = [](const worker::GroupStep& plan) {
    return plan.step < 5 ? absl::OkStatus() : absl::InternalError("the kernel is out of order");
  };
  Start({{}, broken, {}});
  ASSERT_TRUE(Load().ok());
  coordinator::RankStepExecutor executor(pool_.get(), options_.layout, kVocabulary);
  for (StepId step = 1; step < 5; ++step) ASSERT_TRUE(Execute(executor, Plan(step)).ok());
  const absl::Status status = Execute(executor, Plan(5)).status();
  EXPECT_TRUE(absl::IsInternal(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("rank 1 (pid 1 on here): the kernel"));
}

TEST_F(ConcurrentCalls, AProcessThatDiesEndsTheLoadOfAll) {
  FakeBehaviour dies;
  dies.on_load = [this](const EngineOptions&) {
    rack_.worker(1).Die();
    return absl::AbortedError("dead");
  };
  Start({{}, dies});
  const absl::Status status = Load();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("rank 1 (pid 1 on here): the process is gone"));
}

TEST_F(ConcurrentCalls, ARankForWhichOthersWaitInVainIsNamedAndLost) {
  std::promise<void> let_go;
  FakeBehaviour hangs;
  hangs.on_load = [released = let_go.get_future().share()](const EngineOptions&) {
    released.wait();
    return absl::AbortedError("let go");
  };
  Start({{}, hangs, {}});
  options_.collective_timeout = absl::Milliseconds(300);
  std::vector<Rank> stalled;
  const absl::Status status = coordinator::LoadModel(pool_.get(), options_, &clock_,
                                                     {.stalled =
                                                          [&](const std::map<Rank, std::string>& why) {
                                                            for (const auto& [rank, reason] : why)
                                                              stalled.push_back(rank);
                                                          }})
                                  .status();
  let_go.set_value();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("rank 1 (pid 1 on here) was lost: the other ranks waited for it in vain"));
  EXPECT_THAT(stalled, testing::ElementsAre(1));
}

// A rank that waited for an absent one, from a later time on than another rank did, answers by itself. (Wait
// alone would cancel its call after 300 ms and take it for absent.)
TEST_F(ConcurrentCalls, ARankWhoseDeadlinePassesLaterIsNotAbsent) {
  class NoCall final : public coordinator::WorkerClient::Call {
    void Cancel() override {}
  };
  Start({{}, {}});
  coordinator::WorkerCalls calls(pool_.get());
  std::vector<coordinator::WorkerClient::Done> ends;
  for (const Rank rank : {0, 1}) {
    calls.Start(rank, [&](coordinator::WorkerClient::Done done) {
      ends.push_back(std::move(done));
      return std::make_unique<NoCall>();
    });
  }
  ends[0](absl::DeadlineExceededError("60 s have passed"));
  std::thread later([&] {
    absl::SleepFor(absl::Milliseconds(400));
    ends[1](absl::DeadlineExceededError("60 s have passed"));
  });
  calls.LetDeadlinesPass(kPatience);
  EXPECT_TRUE(absl::IsDeadlineExceeded(calls.Wait()));
  EXPECT_TRUE(calls.unanswered().empty());
  later.join();
}

TEST_F(ConcurrentCalls, WorkersAreToldToStop) {
  Start({{}, {}});
  rack_.worker(1).Die();
  pool_->StopWorkers("the test is over", kPatience);
  EXPECT_TRUE(rack_.worker(0).was_told_to_stop());
}

// A whole coordinator without HTTP: the cluster's thread, the step loop, membership, workers and their
// engines.
class ConcurrentRecovery : public testing::Test {
 protected:
  ConcurrentRecovery() {
    auto model = std::make_shared<coordinator::ServedModel>();
    model->name = "fake";
    model->vocab_size = kVocabulary;
    model->max_context = 4000;
    auto responses = std::make_shared<coordinator::ResponseStore>(
        coordinator::ResponseStoreLimits{.responses = 0}, &clock_);
    context_ = std::make_unique<coordinator::ApiContext>(std::move(model), std::move(responses), &clock_);
    options_.cluster_address = "";
    options_.model = "none";
    options_.tp = 2;
    beats_ = std::thread([this] {
      while (!ending_) {
        rack_.BeatAll();
        absl::SleepFor(absl::Milliseconds(50));
      }
    });
  }
  ~ConcurrentRecovery() override {
    passed_ = UINT64_MAX;
    ending_ = true;
    beats_.join();
    if (cluster_ == nullptr) return;
    cluster_->EndStreams();
    rack_.DieAll();  // before membership is destroyed, because the workers leave membership
    cluster_->Stop();
  }

  void Start() {
    auto cluster = coordinator::Cluster::Start(
        options_, context_.get(), &clock_,
        [this](const coordinator::World& world, const auto&) { return rack_.Connect(world); });
    ASSERT_TRUE(cluster.ok()) << cluster.status();
    cluster_ = *std::move(cluster);
  }
  LocalWorker& Join(FakeBehaviour behaviour = {}) {
    LocalWorker& worker = rack_.Add(std::move(behaviour));
    Await([&] { return worker.Join(&cluster_->membership().handler()).ok(); });
    return worker;
  }
  void AwaitReady() {
    Await([&] {
      return context_->readiness().snapshot().state == coordinator::Readiness::State::kReady ||
             !cluster_->Poll().ok();
    });
    ASSERT_TRUE(cluster_->Poll().ok()) << cluster_->Poll();
  }
  // Until both ranks have taken steps of the epoch: all streams have then got tokens in it. A loss before
  // that would count as a step that these streams broke.
  void AwaitEpoch(Epoch epoch) {
    Await([&] { return steps_[epoch] > kHeldAfterSteps || !cluster_->Poll().ok(); });
    ASSERT_TRUE(cluster_->Poll().ok()) << cluster_->Poll();
  }
  // Counts the steps of each epoch. After kHeldAfterSteps of an epoch up to held_, waits for Pass.
  FakeBehaviour Noting() {
    FakeBehaviour behaviour;
    behaviour.on_step = [this](const worker::GroupStep& plan) {
      epoch_ = plan.epoch;
      if (++steps_.at(plan.epoch) > kHeldAfterSteps && plan.epoch <= held_) {
        Await([&] { return passed_ >= plan.epoch; });
      }
      return absl::OkStatus();
    };
    return behaviour;
  }
  void Pass(Epoch epoch) { passed_ = epoch; }

  // Submits one stream of `tokens` tokens.
  void Submit(int tokens) {
    coordinator::Request request;
    request.prompt = {1, 2, 3};
    request.max_tokens = tokens;
    ++streams_;
    const auto id = context_->loop()->Submit(request, [this](coordinator::TokenEvent event) {
      tokens_ += event.has_token;
      if (event.finish == coordinator::FinishReason::kNone) return;
      EXPECT_EQ(event.finish, coordinator::FinishReason::kLength) << event.error;
      --streams_;
    });
    ASSERT_TRUE(id.ok()) << id.status();
  }
  void AwaitStreams() {
    Await([&] { return streams_ == 0 || !cluster_->Poll().ok(); });
    ASSERT_TRUE(cluster_->Poll().ok()) << cluster_->Poll();
  }

  SystemClock clock_;
  Rack rack_;
  std::atomic<bool> ending_ = false;
  std::thread beats_;
  std::atomic<Epoch> epoch_ = 0, held_ = 0, passed_ = 0;
  static constexpr int kHeldAfterSteps = 20;
  std::array<std::atomic<int>, 16> steps_ = {};  // of each epoch, summed over the ranks that note them
  std::atomic<int> streams_ = 0, tokens_ = 0;
  Settings options_;
  std::unique_ptr<coordinator::ApiContext> context_;
  std::unique_ptr<coordinator::Cluster> cluster_;
};

TEST_F(ConcurrentRecovery, StreamsGoOnAfterOneLossAndTheNext) {
  held_ = 3;
  Start();
  LocalWorker* workers[2] = {&Join(Noting()), &Join(Noting())};
  AwaitReady();
  for (int i = 0; i < 4; ++i) Submit(600);
  for (Epoch epoch = 1; epoch <= 3; ++epoch) {
    AwaitEpoch(epoch);
    LocalWorker*& lost = workers[epoch % 2];
    lost->Die();
    Pass(epoch);
    lost = &Join(Noting());
  }
  AwaitStreams();
  EXPECT_EQ(tokens_, 4 * 600);
}

// The fake ranks 0 and 1 hold 100 and 99 pages.
TEST_F(ConcurrentRecovery, TheContextIsWhatTheCacheOfThePresentLayoutHolds) {
  options_.layouts = {{.tp = 2, .ep = 2}, {.tp = 1, .ep = 1}};
  options_.recovery_timeout = 0.01;     // then the smaller layout is formed
  options_.recovery_limit.minutes = 0;  // the larger one is formed as soon as its workers are there
  context_->SetContext(1'000'000);
  const auto await_context = [&](int32_t positions) {
    Await([&] { return context_->model().max_context == positions || !cluster_->Poll().ok(); });
    ASSERT_TRUE(cluster_->Poll().ok()) << cluster_->Poll();
  };
  Start();
  Join();
  LocalWorker& second = Join();
  await_context(99 * kPageTokens);
  AwaitReady();
  second.Die();
  await_context(100 * kPageTokens);
  Join();
  await_context(99 * kPageTokens);
}

TEST_F(ConcurrentRecovery, ADeadlineThatWaitingRanksWouldMissIsRefused) {
  options_.load_progress_timeout = options_.collective_timeout = 60;
  const auto cluster = coordinator::Cluster::Start(
      options_, context_.get(), &clock_,
      [this](const coordinator::World& world, const auto&) { return rack_.Connect(world); });
  EXPECT_TRUE(absl::IsFailedPrecondition(cluster.status())) << cluster.status();
  EXPECT_THAT(std::string(cluster.status().message()), HasSubstr("load-progress-timeout is 60 seconds"));
}

TEST_F(ConcurrentRecovery, AStepThatBreaksNeedsNoNewProcess) {
  std::atomic<bool> broke = false;
  FakeBehaviour breaks_once;
  breaks_once.on_step = [&](const worker::GroupStep& plan) {
    if (plan.step < 20 || broke.exchange(true)) return absl::OkStatus();
    return absl::InternalError("a card fell off the bus");
  };
  Start();
  Join();
  Join(breaks_once);
  AwaitReady();
  Submit(50);
  AwaitStreams();
  EXPECT_TRUE(broke);
  EXPECT_EQ(tokens_, 50);
}

TEST_F(ConcurrentRecovery, AReplacementThatHangsInItsLoadIsLostAndReplaced) {
  options_.load_progress_timeout = 1;
  options_.collective_timeout = 0.5;
  held_ = 1;
  std::promise<void> let_go;
  const std::shared_future<void> released = let_go.get_future().share();
  FakeBehaviour hangs;
  hangs.on_read = [released] {
    released.wait();
    return absl::AbortedError("let go");
  };
  Start();
  Join(Noting());
  LocalWorker& second = Join();
  AwaitReady();
  Submit(600);
  AwaitEpoch(1);
  second.Die();
  Pass(1);
  LocalWorker& hanging = Join(hangs);
  // The rank hangs, but its heartbeats continue. When it is lost, it is told to leave.
  Await([&] { return !hanging.Beat().ok(); });
  Join();
  AwaitStreams();
  EXPECT_EQ(tokens_, 600);
  EXPECT_GE(epoch_, 3u);
  let_go.set_value();
}

TEST_F(ConcurrentRecovery, AWorkerThatHangsInTheFirstLoadEndsBringUpByName) {
  options_.load_progress_timeout = 1;
  options_.collective_timeout = 0.5;
  std::promise<void> let_go;
  const std::shared_future<void> released = let_go.get_future().share();
  FakeBehaviour hangs;
  hangs.on_read = [released] {
    released.wait();
    return absl::AbortedError("let go");
  };
  Start();
  Join();
  Join(hangs);
  Await([&] { return !cluster_->Poll().ok(); });
  EXPECT_TRUE(absl::IsUnavailable(cluster_->Poll())) << cluster_->Poll();
  EXPECT_THAT(std::string(cluster_->Poll().message()),
              HasSubstr("rank 1 (pid 1 on here) was lost: its load has made no progress for 1s"));
  let_go.set_value();
}

}  // namespace
}  // namespace deeprack
