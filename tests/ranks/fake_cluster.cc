#include "tests/ranks/fake_cluster.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gtest/gtest.h"
#include "worker/collectives/local/local_world.h"

namespace deeprack {

FakeCluster::FakeCluster(int ranks, coordinator::HealthLimits health, std::optional<ClusterTls> tls,
                         bool reform)
    : layout_{.tp = ranks}, tls_(std::move(tls)), nodes_(ranks) {
  auto membership = coordinator::Membership::Start(
      {.tls = tls_, .layouts = {layout_}, .reform = reform, .health = health}, &clock_);
  EXPECT_TRUE(membership.ok()) << membership.status();
  membership_ = *std::move(membership);
  // In a real worker a world has the timeout of its load. No test here reaches the deadline of the first
  // load.
  world_ = worker::MakeLocalWorld(ranks, kPatience);
}

FakeCluster::~FakeCluster() {
  membership_->ExpectDepartures();
  nodes_.clear();
  membership_.reset();  // before the pool, because membership's callbacks use the pool
}

worker::WorkerNodeOptions FakeCluster::WorkerOptions(int rank) const {
  return {.coordinator = "127.0.0.1:" + std::to_string(membership_->port()),
          .tls = tls_,
          .nccl = true,
          .new_world = [rank](const worker::WorldOpening&) { return "opened by " + std::to_string(rank); },
          .launch_rank = rank,
          .launch_world = layout_.world_size(),
          .connect_timeout = kPatience};
}

absl::Status FakeCluster::StartWorker(int rank, worker::FakeBehaviour behaviour, int world) {
  worker::WorkerNodeOptions options = WorkerOptions(rank);
  if (world > 0) options.launch_world = world;
  return StartWorker(options, std::move(behaviour));
}

absl::Status FakeCluster::StartWorker(const worker::WorkerNodeOptions& options,
                                      worker::FakeBehaviour behaviour) {
  const int rank = options.launch_rank;
  auto node = worker::WorkerNode::Start(
      options,
      [this,
       rank](const worker::WorldRequest& request) -> absl::StatusOr<std::unique_ptr<worker::Communicator>> {
        const std::lock_guard lock(mutex_);
        meetings_.push_back(absl::StrCat(request.rank, ": ", request.meeting.nccl_world,
                                         absl::StrJoin(request.meeting.gloo_world, ", ")));
        if (world_[rank] == nullptr) return absl::AbortedError("this rank has joined its world before");
        return std::move(world_[rank]);
      },
      worker::MakeFakeEngines(std::move(behaviour)));
  if (!node.ok()) return node.status();
  if (nodes_.size() <= static_cast<size_t>(rank)) nodes_.resize(rank + 1);
  nodes_[rank] = *std::move(node);
  return absl::OkStatus();
}

void FakeCluster::StartAllWorkers(const std::vector<worker::FakeBehaviour>& behaviours) {
  for (int rank = 0; rank < layout_.world_size(); ++rank) {
    const absl::Status started = StartWorker(
        rank, static_cast<size_t>(rank) < behaviours.size() ? behaviours[rank] : worker::FakeBehaviour{});
    ASSERT_TRUE(started.ok()) << started;
  }
}

void FakeCluster::Connect() {
  Reconnect();
  membership_->OnLoss([this](const coordinator::Loss& loss) {
    const std::lock_guard lock(mutex_);
    pool_->Lose(ToString(loss));
  });
}

void FakeCluster::Reconnect() {
  auto world = membership_->WaitForWorld(kPatience);
  ASSERT_TRUE(world.ok()) << world.status();
  std::vector<coordinator::WorkerAddress> addresses;
  for (const coordinator::Member& member : world->members) {
    addresses.push_back({member.node.address, member.node.host, member.node.pid});
  }
  const std::lock_guard lock(mutex_);
  if (world->epoch != epoch_) world_ = worker::MakeLocalWorld(layout_.world_size(), kPatience);
  epoch_ = world->epoch;
  executor_.reset();
  pool_ = coordinator::ConnectWorkers(addresses, tls_);
  executor_ = std::make_unique<coordinator::RankStepExecutor>(pool_.get(), layout_, kVocabulary);
}

absl::StatusOr<coordinator::LoadedModel> FakeCluster::Load(absl::Duration collective_timeout) {
  coordinator::LoadOptions options = Options();
  options.collective_timeout = collective_timeout;
  return Load(options);
}

absl::StatusOr<coordinator::LoadedModel> FakeCluster::Load(const coordinator::LoadOptions& options,
                                                           const coordinator::LoadEvents& events) {
  return coordinator::LoadModel(pool_.get(), options, &clock_, events);
}

coordinator::LoadOptions FakeCluster::Options() const {
  return {.epoch = epoch_, .layout = layout_, .model_path = "none"};
}

model::StepPlan FakeCluster::Plan(StepId step, Epoch epoch) {
  return PlanOf({{.sequence = 11, .prompt_size = 3, .tokens = {1, 2, 3, 5}, .num_computed = 3},
                 {.sequence = 10, .prompt_size = 3, .tokens = {1, 2, 3, 4, 6}, .num_computed = 4}},
                step, epoch);
}

}  // namespace deeprack
