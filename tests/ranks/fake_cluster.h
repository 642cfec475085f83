// The coordinator's side (membership, dispatch) and worker nodes with fake engines, in one process, over
// loopback.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "coordinator/dispatch/grpc_worker_client.h"
#include "coordinator/dispatch/load_model.h"
#include "coordinator/dispatch/rank_step_executor.h"
#include "coordinator/dispatch/worker_pool.h"
#include "coordinator/membership/membership.h"
#include "tests/ranks/fake_engine.h"
#include "tests/ranks/one_step.h"
#include "worker/rpc/worker_node.h"

namespace deeprack {

// Far longer than any test needs. A test in which a deadline passes sets its own.
inline constexpr absl::Duration kPatience = absl::Seconds(60);

// A worker's stream that nobody listens to.
struct SilentStream final : coordinator::AttachStream {
  void Welcome(Rank, Epoch) override {}
  void Dismiss(const std::string&) override {}
};

class FakeCluster {
 public:
  // The default patience is kPatience, because heartbeats come late on an overloaded machine. Tests of
  // heartbeats set less.
  explicit FakeCluster(int ranks, coordinator::HealthLimits health = {.heartbeat_timeout = kPatience},
                       std::optional<ClusterTls> tls = std::nullopt, bool reform = false);
  ~FakeCluster();

  // Starts one worker as launch rank `rank` of `world` (all of the layout's when 0).
  absl::Status StartWorker(int rank, worker::FakeBehaviour behaviour = {}, int world = 0);
  absl::Status StartWorker(const worker::WorkerNodeOptions& options, worker::FakeBehaviour behaviour = {});
  void StartAllWorkers(const std::vector<worker::FakeBehaviour>& behaviours);
  void StopWorker(int rank) { nodes_[rank].reset(); }

  // Waits for all workers and connects to them. From then on membership reports losses to the pool. Call it
  // once.
  void Connect();
  // Does the same for the next epoch, with a new world of ranks.
  void Reconnect();
  absl::StatusOr<coordinator::LoadedModel> Load(absl::Duration collective_timeout = kPatience);
  absl::StatusOr<coordinator::LoadedModel> Load(const coordinator::LoadOptions& options,
                                                const coordinator::LoadEvents& events = {});
  coordinator::LoadOptions Options() const;  // of the present epoch
  Epoch epoch() const { return epoch_; }
  static constexpr int32_t kVocabulary = 1'000'000;  // of fake engines

  coordinator::Membership& membership() { return *membership_; }
  coordinator::WorkerPool& pool() { return *pool_; }
  coordinator::StepExecutor& executor() { return *executor_; }
  // The options of StartWorker(rank).
  worker::WorkerNodeOptions WorkerOptions(int rank) const;
  worker::WorkerNode& node(int rank) { return *nodes_[rank]; }
  const model::Layout& layout() const { return layout_; }

  // Sequence 11 draws at position 3, sequence 10 at position 4.
  static model::StepPlan Plan(StepId step, Epoch epoch = 1);
  absl::StatusOr<model::StepResult> Execute(const model::StepPlan& plan) {
    return deeprack::Execute(*executor_, plan);
  }

  // How each rank met the others: "rank: secret of NCCL", or "rank: addresses of gloo".
  std::vector<std::string> meetings() {
    const std::lock_guard lock(mutex_);
    return meetings_;
  }

 private:
  const model::Layout layout_;
  const std::optional<ClusterTls> tls_;
  SystemClock clock_;
  Epoch epoch_ = 1;
  std::unique_ptr<coordinator::WorkerPool> pool_;
  std::unique_ptr<coordinator::StepExecutor> executor_;
  std::unique_ptr<coordinator::Membership> membership_;
  // One world of ranks for all loads. Each node gets a member when it joins.
  std::vector<std::unique_ptr<worker::Communicator>> world_;
  std::mutex mutex_;
  std::vector<std::string> meetings_;  // guarded by mutex_
  std::vector<std::unique_ptr<worker::WorkerNode>> nodes_;
};

}  // namespace deeprack
