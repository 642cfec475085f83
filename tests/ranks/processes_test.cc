// The real worker program under mpirun with the demo model: exit codes and the death of a process, which
// tests with ranks in one process cannot show.
#include <signal.h>

#include <future>
#include <optional>

#include "base/clock.h"
#include "coordinator/dispatch/grpc_worker_client.h"
#include "coordinator/dispatch/load_model.h"
#include "coordinator/dispatch/rank_step_executor.h"
#include "coordinator/membership/membership.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/ranks/launch.h"
#include "tests/ranks/one_step.h"
#include "tests/source_tree.h"

namespace deeprack {
namespace {

using coordinator::Loss;
using testing::HasSubstr;

constexpr absl::Duration kPatience = absl::Seconds(60);
constexpr int32_t kVocabulary = 512;  // the vocabulary of demo/model

// Exit codes of sysexits.h.
constexpr int kBadWeights = 65, kPeersUnreachable = 69, kConfiguration = 78;

class ProcessesTest : public testing::Test {
 protected:
  void Start(int ranks, int launched) {
    options_.layout = {.tp = ranks, .ep = ranks};
    options_.model_path = InSourceTree("demo/model");
    options_.kv_bytes = 4 << 20;
    options_.max_step_tokens = 64;
    options_.max_sequences = 4;
    options_.max_context = 256;
    auto membership = coordinator::Membership::Start({.layouts = {options_.layout}}, &clock_);
    ASSERT_TRUE(membership.ok()) << membership.status();
    membership_ = *std::move(membership);
    launch_.emplace(launched, membership_->port());
  }

  void Connect() {
    auto world = membership_->WaitForWorld(kPatience);
    ASSERT_TRUE(world.ok()) << world.status();
    std::vector<coordinator::WorkerAddress> addresses;
    for (const coordinator::Member& member : world->members) {
      addresses.push_back({member.node.address, member.node.host, member.node.pid});
      pids_.push_back(static_cast<pid_t>(member.node.pid));
    }
    pool_ = coordinator::ConnectWorkers(addresses);
    membership_->OnLoss([this](const Loss& loss) { pool_->Lose(ToString(loss)); });
  }

  void StartAndLoad(int ranks) {
    Start(ranks, ranks);
    Connect();
    const auto loaded = coordinator::LoadModel(pool_.get(), options_, &clock_, {});
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    EXPECT_GE(loaded->kv_blocks, 4);
    for (const coordinator::LoadedRank& rank : loaded->ranks) EXPECT_GT(rank.weight_bytes, 0);
  }

  int StopAll() {
    membership_->ExpectDepartures();
    pool_->StopWorkers("the test is over", kPatience);
    return launch_->Wait();
  }

  // A plan that continues three tokens greedily.
  static model::StepPlan Prefill(StepId step, Epoch epoch = 1) {
    return PlanOf({{.sequence = 1,
                    .prompt_size = 3,
                    .tokens = {1, 2, 3},
                    .sampling = {.temperature = 0, .top_logprobs = 2}}},
                  step, epoch);
  }
  absl::StatusOr<model::StepResult> ExecuteAlone(const model::StepPlan& plan) {
    coordinator::RankStepExecutor executor(pool_.get(), {}, kVocabulary);
    return Execute(executor, plan);
  }

  SystemClock clock_;
  coordinator::LoadOptions options_;
  std::unique_ptr<coordinator::WorkerPool> pool_;
  std::unique_ptr<coordinator::Membership> membership_;
  std::optional<Launch> launch_;
  std::vector<pid_t> pids_;  // entry r is rank r's pid
};

TEST_F(ProcessesTest, LoadStepAndStop) {
  StartAndLoad(2);
  coordinator::RankStepExecutor executor(pool_.get(), options_.layout, kVocabulary);
  std::optional<model::SequenceResult> first;
  for (StepId step = 1; step <= 3; ++step) {
    const auto result = Execute(executor, Prefill(step));
    ASSERT_TRUE(result.ok()) << result.status();
    ASSERT_EQ(result->groups[0].size(), 1u);
    EXPECT_EQ(result->groups[0][0].tokens.size(), 1u);
    EXPECT_EQ(result->groups[0][0].logprobs.at(0).top.size(), 2u);
    if (!first) first = result->groups[0][0];
    EXPECT_EQ(result->groups[0][0], *first);  // every step gives the same numbers
  }
  EXPECT_EQ(StopAll(), 0);
}

TEST_F(ProcessesTest, AKilledRankIsNamedAndEndsTheEpoch) {
  StartAndLoad(2);
  coordinator::RankStepExecutor executor(pool_.get(), options_.layout, kVocabulary);
  ASSERT_TRUE(Execute(executor, Prefill(1)).ok());
  // Steps run one after the other until the death of rank 1 ends one.
  auto failure = std::async(std::launch::async, [&] {
    for (StepId step = 2;; ++step) {
      if (const auto result = Execute(executor, Prefill(step)); !result.ok()) return result.status();
    }
  });
  kill(pids_[1], SIGKILL);
  const absl::Status status = failure.get();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("rank 1 (pid " + std::to_string(pids_[1])));
  EXPECT_THAT(std::string(status.message()), HasSubstr("its connection broke"));
  EXPECT_NE(launch_->Wait(), 0);
}

TEST_F(ProcessesTest, ARankThatIsAloneGoesOnInTheNextEpoch) {
  StartAndLoad(1);
  const auto before = ExecuteAlone(Prefill(1));
  ASSERT_TRUE(before.ok()) << before.status();
  pool_->Lose("the test says so");
  membership_->EndEpoch(1);
  const auto world = membership_->WaitForWorld(kPatience);  // returns at once, with the same process
  ASSERT_TRUE(world.ok()) << world.status();
  EXPECT_EQ(world->epoch, 2u);
  ASSERT_EQ(world->members[0].node.pid, pids_[0]);
  pool_ = coordinator::ConnectWorkers({{world->members[0].node.address, "here", pids_[0]}});
  options_.epoch = 2;
  const auto loaded = coordinator::LoadModel(pool_.get(), options_, &clock_, {});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  const auto after = ExecuteAlone(Prefill(1, 2));
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_EQ(after->groups[0][0], before->groups[0][0]);
  EXPECT_EQ(StopAll(), 0);
}

TEST_F(ProcessesTest, AStoppedRankIsNamed) {
  StartAndLoad(2);
  coordinator::RankStepExecutor executor(pool_.get(), options_.layout, kVocabulary);
  ASSERT_TRUE(Execute(executor, Prefill(1)).ok());
  kill(pids_[0], SIGSTOP);
  const auto result = Execute(executor, Prefill(2));
  kill(pids_[0], SIGCONT);
  EXPECT_TRUE(absl::IsUnavailable(result.status())) << result.status();
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("rank 0 (pid " + std::to_string(pids_[0])));
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("no heartbeat for 3s"));
  StopAll();
}

TEST_F(ProcessesTest, WithoutTheirCoordinatorWorkersEnd) {
  StartAndLoad(2);
  membership_.reset();
  EXPECT_EQ(launch_->Wait(), kPeersUnreachable);
}

TEST_F(ProcessesTest, AModelThatIsNotThereIsSaidSo) {
  Start(2, 2);
  Connect();
  options_.model_path = "/nonexistent/model";
  const auto loaded = coordinator::LoadModel(pool_.get(), options_, &clock_, {});
  EXPECT_FALSE(loaded.ok());
  EXPECT_THAT(std::string(loaded.status().message()), HasSubstr("/nonexistent/model"));
  EXPECT_EQ(StopAll(), kBadWeights);
}

TEST_F(ProcessesTest, ALaunchOfAnotherSizeIsTurnedDown) {
  Start(3, 2);
  const auto members = membership_->WaitForWorld(kPatience);
  EXPECT_TRUE(absl::IsFailedPrecondition(members.status())) << members.status();
  EXPECT_THAT(std::string(members.status().message()), HasSubstr("the launcher started 2 workers"));
  EXPECT_EQ(launch_->Wait(), kConfiguration);
}

}  // namespace
}  // namespace deeprack
