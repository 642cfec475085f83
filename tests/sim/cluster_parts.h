// The parts of ClusterSimulation that its sources share.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "coordinator/dispatch/load_watch.h"
#include "tests/sim/cluster_simulation.h"

namespace deeprack::coordinator::sim {

inline constexpr absl::Duration kHeartbeats = absl::Seconds(1);
inline constexpr absl::Duration kHealthChecks = absl::Milliseconds(250);
inline constexpr absl::Duration kLooks = absl::Milliseconds(100);  // of the coordinator for a world
inline constexpr absl::Duration kHeartbeatTimeout = absl::Seconds(3);
inline constexpr absl::Duration kStuckTimeout = absl::Seconds(12);
inline constexpr absl::Duration kCollectiveTimeout = absl::Seconds(5);
inline constexpr absl::Duration kLoadProgressTimeout = absl::Seconds(15);
inline constexpr absl::Duration kRecoveryTimeout = absl::Seconds(20);
inline constexpr absl::Duration kLongEnough = absl::Seconds(10);  // RecoveryLimit
// While ranks are there, no more time passes from one step to the next, and no more time from the last fault
// to a cluster that serves: a stuck rank, a stalled load and a wait for workers may follow one another.
inline constexpr absl::Duration kMostIdle = absl::Seconds(30);
inline constexpr absl::Duration kMostRecovery = absl::Seconds(120);

inline constexpr const char* kLoadOptions = "options";

// A process of a worker, as the coordinator's membership sees it.
struct ClusterSimulation::Attach final : public AttachStream {
  Attach(ClusterSimulation* simulation, size_t worker, int64_t process)
      : simulation(simulation), worker(worker), process(process) {}
  void Welcome(Rank rank, Epoch epoch) override;
  void Dismiss(const std::string& reason) override {}

  ClusterSimulation* const simulation;
  const size_t worker;
  const int64_t process;
};

struct ClusterSimulation::Worker {
  int64_t process = 0;      // 0: dead
  int member = -1;          // -1: no stream to the coordinator
  int64_t attached_to = 0;  // the coordinator
  Epoch welcomed = 0;
  Rank kept_rank = -1;
  Epoch last_epoch = 0;
  uint64_t steps_finished = 0;
  bool stuck = false;   // computes nothing and sends heartbeats
  bool silent = false;  // none of its messages arrives
  double slow = 1;
};

struct ClusterSimulation::Coordinator {
  enum class State : uint8_t { kForming, kLoading, kServing };

  Coordinator(int64_t number, const RosterOptions& options, Clock* clock, int recoveries)
      : number(number), roster(options, clock), limit(recoveries, kLongEnough), recoveries(recoveries) {}

  const int64_t number;
  Roster roster;
  RecoveryLimit limit;
  const int recoveries;
  int failed_in_a_row = 0;  // what `limit` counts, counted here too
  absl::Time serving_since = absl::InfiniteFuture();
  std::unique_ptr<Scheduler> scheduler;  // null: the first epoch has not served yet
  FairnessAudit fairness;
  SchedulerLimits limits;
  State state = State::kForming;
  absl::Time forming_since;
  std::optional<Loss> last_loss;
  bool breaking = false;  // the epoch's end is on its way
};

struct ClusterSimulation::Ranks {
  int64_t number = 0;  // of all worlds of the run; new processes may begin with epoch 1 again
  Epoch epoch = 0;
  World world;
  std::vector<size_t> workers;     // by rank
  std::vector<int64_t> processes;  // of these workers, when the epoch was formed
  std::vector<bool> loaded;
  int64_t to_load = 0;
  std::optional<LoadWatch> watch;  // while the ranks load
  bool gone = false;               // the epoch is over

  // Steps on their way to the ranks, computed, and on their way back.
  std::deque<model::StepPlan> plans;               // sent and not applied
  std::vector<StepId> received;                    // by rank: the last plan that has arrived
  std::vector<absl::Time> last_plan, last_answer;  // by rank: no message overtakes another one
  StepId computed = 0;
  bool computing = false;
  StepId waited_for = 0;  // the step for which a collective's deadline runs
  std::vector<std::deque<model::RankResult>> answers;
  std::map<std::pair<size_t, SequenceSlot>, SequenceId> slots;
  std::map<StepId, std::set<SequenceId>> computes;    // of steps that are sent and not applied
  std::map<StepId, std::vector<SequenceId>> decodes;  // of steps that are computed and not applied

  const model::StepPlan& plan(StepId step) const {
    return plans[static_cast<size_t>(step - plans.front().header.step)];
  }
};

template <class... Parts>
void ClusterSimulation::Require(bool condition, const Parts&... parts) {
  if (!condition) Check(absl::InternalError(absl::StrCat(parts...)));
}

}  // namespace deeprack::coordinator::sim
