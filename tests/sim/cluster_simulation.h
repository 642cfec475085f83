// A whole cluster from a seed, in simulated time: the coordinator's scheduler, membership, recovery limit,
// watch over loads and join of the ranks' answers; the ranks' sequence tables; and a network whose messages
// are late, are lost with their streams, or come again from an epoch that is over. Ranks are slow, stuck,
// silent or dead in any phase: while workers come together, load, idle, prefill, decode and recover. The
// coordinator restarts, and the workers keep their weights and epochs.
//
// Checked: each stream is the one that its request has alone, with one last event; the scheduler's
// invariants, after each step; an epoch is later than every epoch of its workers; no epoch ends without a
// cause; while the ranks are there, work goes on; when faults have stopped, everything ends.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "coordinator/membership/recovery_limit.h"
#include "coordinator/membership/roster.h"
#include "coordinator/scheduler/scheduler.h"
#include "model/layout/layout.h"
#include "tests/sim/planted_fault.h"
#include "tests/sim/scheduler_audit.h"
#include "tests/sim/simulated_cluster.h"
#include "tests/sim/stream_book.h"
#include "tests/sim/timeline.h"
#include "tests/sim/workload.h"

namespace deeprack::coordinator::sim {

enum class Phase : uint8_t { kForming, kLoading, kIdle, kPrefill, kDecode, kRecovering };
inline constexpr int kPhases = 6;

struct ClusterFigures {
  int64_t steps = 0, epochs = 0, restarts = 0, stale_results = 0, given_up = 0, requests = 0;
  int64_t smaller = 0;              // epochs in a smaller layout than the largest
  int64_t faults_in[kPhases] = {};  // faults that came in each phase
  uint64_t digest = 0;              // of every field of every plan

  void Add(const ClusterFigures& run);
};

class ClusterSimulation {
 public:
  explicit ClusterSimulation(uint64_t seed, PlantedFault planted = PlantedFault::kNone);
  ~ClusterSimulation();

  // Runs until every stream has ended. Internal: the first invariant that was broken.
  absl::Status Run();

  const ClusterFigures& figures() const { return figures_; }

 private:
  struct Attach;
  struct Worker;
  struct Coordinator;
  // The ranks of one epoch, and what the network has on its way between them and the coordinator.
  struct Ranks;

  // The coordinator (cluster_simulation.cc). The order of Cluster's and the step loop's calls.
  void StartCoordinator();
  void RestartCoordinator();
  void LookForWorld();
  void StartLoading(const World& world);
  void TakeLoaded(Rank rank);
  void Serve();
  void SendSteps();
  void TakeAnswer(Rank rank, model::RankResult answer);
  void ApplyStep();
  void OnLoss(const Loss& loss);
  // The epoch is over. `load_failed`: the ranks were there and could not load.
  void Break(const absl::Status& why, bool grows = false, bool load_failed = false);
  void EndServing(const absl::Status& why);
  void CheckHealth();
  void CheckLoad();

  // The workers (simulated_workers.cc).
  void StartWorker(size_t worker);
  void Hello(size_t worker, int64_t process);
  void Heartbeat(size_t worker, int64_t process, int member);
  void Die(size_t worker, bool says_goodbye);
  void BreakAttachStream(size_t worker);
  void Load(Rank rank, int parts_done);
  void TryCompute();
  void FinishStep();
  void Fail();  // one random fault
  void Heal(size_t worker);
  bool Able(size_t rank) const;  // the rank computes

  // Requests and checks.
  void Arrive();
  void MaybeCancel();
  void TakeAll(std::vector<TokenEvent> events);
  void NoteBroken();
  void CheckProgress();
  Phase phase() const;
  void Check(const absl::Status& status);
  template <class... Parts>
  void Require(bool condition, const Parts&... parts);
  absl::Duration Delay();  // of a message
  absl::Duration Seconds(double low, double high);

  std::mt19937_64 random_;
  const PlantedFault planted_;
  Timeline timeline_;
  absl::Status fault_;  // the first invariant that was broken
  std::vector<model::Layout> layouts_;
  SchedulerLimits limits_;
  SimulatedCluster cluster_;
  Traffic traffic_;
  StreamBook streams_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<std::unique_ptr<Attach>> attaches_;  // of all processes that ever were: the roster may use them
  std::unique_ptr<Coordinator> coordinator_;
  std::unique_ptr<Ranks> ranks_;
  std::optional<model::RankResult> answer_, old_answer_;  // of some epoch, and of one that is over
  int64_t coordinators_ = 0;
  int64_t processes_ = 0;
  int64_t arrivals_left_ = 0;
  double mean_gap_ = 1;             // seconds between requests
  double mean_between_faults_ = 1;  // seconds
  absl::Time faults_end_, last_fault_, last_progress_;
  bool ended_ = false;  // the coordinator gave up
  SequenceId last_id_ = 0;
  ClusterFigures figures_;
};

}  // namespace deeprack::coordinator::sim
