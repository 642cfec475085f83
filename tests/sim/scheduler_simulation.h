// A whole run of the scheduler from a seed. Requests come and go, pools are tight, sequences are preempted
// and cancelled within steps, one or two steps are under way, ranks are lost between steps and within steps,
// sequences are refused, numbers are not finite, results of an epoch that is over come late. Every stream
// must equal the stream that its request has when it runs alone, and the scheduler's invariants hold after
// each call.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "coordinator/scheduler/scheduler.h"
#include "tests/sim/planted_fault.h"
#include "tests/sim/scheduler_audit.h"
#include "tests/sim/simulated_cluster.h"
#include "tests/sim/stream_book.h"
#include "tests/sim/workload.h"

namespace deeprack::coordinator::sim {

struct RunOptions {
  int32_t arrivals = 40;
  // On average one step of `steps_per_loss` is broken, and as many losses come between steps. 0: no losses.
  uint64_t steps_per_loss = 0;
  // On average one step of `steps_per_fault` has a sequence that is refused, or a row that is not finite.
  uint64_t steps_per_fault = 0;
  SequenceId deadly = 0;         // this sequence breaks every step that computes it
  bool forget_prefixes = false;  // each plan looks up the head of the queue anew
  PlantedFault planted = PlantedFault::kNone;
};

// The seed decides all of it: a third of the seeds has no losses, some have deadly sequences, and so on.
RunOptions OptionsOf(uint64_t seed);

struct RunFigures {
  int64_t steps = 0, preemptions = 0, prefix_cache_hits = 0;
  int64_t drafts_accepted = 0, drafts_rejected = 0;
  int64_t losses = 0, faults = 0, stale_results = 0, cancelled = 0, most_under_way = 0;
  uint64_t digest = 0;  // of every field of every plan

  void Add(const RunFigures& run);
};

class SchedulerSimulation {
 public:
  SchedulerSimulation(uint64_t seed, const RunOptions& options);
  ~SchedulerSimulation();

  // Runs until every stream has ended. Internal: the first invariant that was broken.
  absl::Status Run();

  RunFigures figures() const;

 private:
  absl::Status Advance();
  absl::Status ReceiveStep();
  absl::StatusOr<std::optional<model::StepPlan>> Plan();
  absl::Status ArriveDue();
  absl::Status MaybeCancel();
  absl::Status Lose();
  absl::Status Take(TokenEvent event);
  absl::Status TakeAll(std::vector<TokenEvent> events);
  absl::Status OfferStale();
  absl::Status CheckEnd();
  bool IsLost();
  bool MayLose() const;
  bool Breaks(const ResolvedPlan& plan);
  void NoteSlots(const model::StepPlan& plan);
  void NoteDecodes(const ResolvedPlan& plan);
  std::set<SequenceId> UnderWay() const;
  void Spoil(const ResolvedPlan& plan, ResolvedResult& result);

  // The planted faults.
  bool plants(PlantedFault fault) const { return options_.planted == fault; }
  void LeakPage(SequenceId id);
  void GivePagesBackEarly(SequenceId id);
  std::optional<model::StepPlan> PlanWithDoubleFree();
  std::optional<model::StepPlan> PlanWithoutHead();
  absl::Status TakeSpoilt(TokenEvent event);

  std::mt19937_64 random_;
  const RunOptions options_;
  const SchedulerLimits limits_;
  Epoch epoch_ = 1;
  std::unique_ptr<Scheduler> scheduler_;
  SimulatedCluster cluster_;
  Traffic traffic_;
  StreamBook streams_;
  FairnessAudit fairness_;
  std::deque<model::StepPlan> under_way_;
  std::deque<model::StepResult> stale_;                          // of epochs that are over
  std::map<std::pair<size_t, SequenceSlot>, SequenceId> slots_;  // by dp group
  std::map<StepId, std::set<SequenceId>> computed_in_;           // of this epoch's steps
  double mean_gap_ = 1;                                          // steps from one request to the next
  double next_arrival_ = 0;                                      // in steps
  double now_ = 0;
  int32_t arrivals_left_ = 0;
  bool unfit_ = false;  // a planted fault has left the scheduler in a state that it cannot be destroyed in
  SequenceId last_id_ = 0;
  RunFigures figures_;
};

}  // namespace deeprack::coordinator::sim
