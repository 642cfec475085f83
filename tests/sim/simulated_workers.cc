// ClusterSimulation: the workers, and what goes wrong with them.
#include <algorithm>

#include "tests/sim/cluster_parts.h"
#include "tests/sim/draw.h"

namespace deeprack::coordinator::sim {

void ClusterSimulation::Attach::Welcome(Rank rank, Epoch epoch) {
  Worker& to = *simulation->workers_[worker];
  if (to.process != process) return;
  simulation->Require(epoch > to.welcomed, "a worker is welcomed to epoch ", epoch, " after epoch ",
                      to.welcomed);
  to.welcomed = epoch;
}

bool ClusterSimulation::Able(size_t rank) const {
  const Worker& worker = *workers_[ranks_->workers[rank]];
  return worker.process == ranks_->processes[rank] && !worker.stuck && !worker.silent;
}

// A new process, without weights.
void ClusterSimulation::StartWorker(size_t index) {
  if (workers_[index]->process != 0) return;
  *workers_[index] = Worker{.process = ++processes_};
  Hello(index, processes_);
}

void ClusterSimulation::Hello(size_t index, int64_t process) {
  Worker& worker = *workers_[index];
  if (worker.process != process || process == 0) return;
  if (worker.silent) {
    timeline_.After(absl::Milliseconds(500), [this, index, process] { Hello(index, process); });
    return;
  }
  if (worker.member >= 0 && worker.attached_to == coordinator_->number) return;
  attaches_.push_back(std::make_unique<Attach>(this, index, process));
  JoinedNode node;
  node.host = absl::StrCat("node", index / 4);
  node.pid = process * 100 + static_cast<int64_t>(index);
  node.address = absl::StrCat("10.0.0.1:", node.pid);
  node.backend = "cpu";
  node.gloo = true;
  node.kept_rank = worker.kept_rank;
  node.last_epoch = planted_ == PlantedFault::kLastEpochForgotten ? 0 : worker.last_epoch;
  node.kept_options = worker.kept_rank >= 0 ? kLoadOptions : "";
  if (worker.attached_to != coordinator_->number) worker.welcomed = 0;
  const absl::StatusOr<int> member = coordinator_->roster.OnHello(node, attaches_.back().get());
  if (!member.ok()) {  // every place is taken by one that is not known to be gone yet
    timeline_.After(Seconds(0.5, 1.5), [this, index, process] { Hello(index, process); });
    return;
  }
  worker.member = *member;
  worker.attached_to = coordinator_->number;
  Heartbeat(index, process, *member);
}

void ClusterSimulation::Heartbeat(size_t index, int64_t process, int member) {
  Worker& worker = *workers_[index];
  if (worker.process != process || worker.member != member || worker.attached_to != coordinator_->number)
    return;
  if (!worker.silent) {
    const bool in_epoch = ranks_ != nullptr && !ranks_->gone && worker.last_epoch == ranks_->epoch;
    const bool busy =
        in_epoch && !ranks_->plans.empty() && ranks_->plans.back().header.step > ranks_->computed;
    const absl::Status status = coordinator_->roster.OnHeartbeat(member, worker.steps_finished, busy);
    if (!status.ok()) return Die(index, /*says_goodbye=*/false);
  }
  timeline_.After(kHeartbeats, [this, index, process, member] { Heartbeat(index, process, member); });
}

void ClusterSimulation::BreakAttachStream(size_t index) {
  Worker& worker = *workers_[index];
  if (worker.member < 0) return;
  const int member = std::exchange(worker.member, -1);
  timeline_.After(Delay(), [this, member, number = worker.attached_to] {
    if (coordinator_->number == number) coordinator_->roster.OnEnd(member, "the connection broke", false);
  });
}

// The process ends. Its connections break, and another process starts in its place.
void ClusterSimulation::Die(size_t index, bool says_goodbye) {
  Worker& worker = *workers_[index];
  if (worker.process == 0) return;
  if (says_goodbye && worker.member >= 0 && worker.attached_to == coordinator_->number) {
    coordinator_->roster.OnEnd(std::exchange(worker.member, -1), "it was told to stop", true);
  } else if (!worker.silent) {
    BreakAttachStream(index);
  }
  const Worker dead = std::exchange(worker, Worker{});
  if (ranks_ != nullptr && !ranks_->gone && !dead.silent &&
      std::ranges::find(ranks_->processes, dead.process) != ranks_->processes.end()) {
    timeline_.After(Delay(), [this, number = ranks_->number] {
      if (ranks_->number == number && !ranks_->gone) Break(absl::UnavailableError("a rank's stream broke"));
    });
  }
  timeline_.After(Seconds(0.3, 4), [this, index] { StartWorker(index); });
}

// A load has parts, and the rank reports each of them.
void ClusterSimulation::Load(Rank rank, int parts_done) {
  constexpr int kParts = 4;
  const size_t index = ranks_->workers[static_cast<size_t>(rank)];
  Worker& worker = *workers_[index];
  if (worker.process != ranks_->processes[static_cast<size_t>(rank)]) return;  // it has died
  worker.last_epoch = std::max(worker.last_epoch, ranks_->epoch);
  const bool kept = worker.kept_rank == rank;
  const absl::Duration time = Seconds(kept ? 0.01 : 0.1, kept ? 0.05 : 0.8) * std::min(worker.slow, 3.0);
  timeline_.After(time, [this, index, rank, parts_done, number = ranks_->number] {
    if (ranks_->number != number || ranks_->gone) return;
    if (!Able(static_cast<size_t>(rank))) {  // it goes on when it is able again
      timeline_.After(absl::Milliseconds(500), [this, rank, parts_done, number] {
        if (ranks_->number == number && !ranks_->gone) Load(rank, parts_done);
      });
      return;
    }
    if (timeline_.now() < faults_end_ && OneIn(random_, 200)) {
      last_fault_ = timeline_.now();
      return Break(absl::ResourceExhaustedError("a rank has too little memory"), false, /*load_failed=*/true);
    }
    const bool loaded = parts_done + 1 == kParts;
    if (loaded) {
      workers_[index]->kept_rank = rank;
      workers_[index]->steps_finished = 0;
    }
    timeline_.After(Delay(), [this, rank, loaded, parts_done, number] {
      if (ranks_->number != number || ranks_->gone) return;
      ranks_->watch->Report(rank, {.done = parts_done + 1, .total = kParts}, timeline_.now());
      if (loaded) TakeLoaded(rank);
    });
    if (!loaded) Load(rank, parts_done + 1);
  });
}

// The ranks compute a step together, as soon as each of them has its plan.
void ClusterSimulation::TryCompute() {
  if (ranks_->computing || ranks_->gone) return;
  const StepId next = ranks_->computed + 1;
  if (std::ranges::any_of(ranks_->received, [next](StepId step) { return step < next; })) return;
  double slowest = 1;
  bool able = true;
  for (size_t rank = 0; rank < ranks_->workers.size(); ++rank) {
    slowest = std::max(slowest, workers_[ranks_->workers[rank]]->slow);
    able &= Able(rank);
  }
  if (able) {
    ranks_->computing = true;
    timeline_.After(Seconds(0.01, 0.04) * slowest, [this, number = ranks_->number] {
      if (ranks_->number == number && !ranks_->gone) FinishStep();
    });
    return;
  }
  if (ranks_->waited_for == next) return;
  ranks_->waited_for = next;
  timeline_.After(kCollectiveTimeout, [this, next, number = ranks_->number] {
    if (ranks_->number == number && !ranks_->gone && ranks_->computed < next && !ranks_->computing)
      Break(absl::DeadlineExceededError("a rank waited too long for the others"));
  });
}

void ClusterSimulation::FinishStep() {
  ranks_->computing = false;
  for (size_t rank = 0; rank < ranks_->workers.size(); ++rank) {
    if (!Able(rank)) return TryCompute();  // the others wait for it
  }
  const model::StepPlan& plan = ranks_->plan(++ranks_->computed);
  const absl::StatusOr<ResolvedPlan> resolved = cluster_.Begin(plan);
  Check(resolved.status());
  if (!resolved.ok()) return;
  const absl::StatusOr<ResolvedResult> computed = cluster_.Execute(*resolved);
  Check(computed.status());
  if (!computed.ok()) return;
  const model::StepResult result = computed->Joined();
  Check(cluster_.Accept(result));
  for (const SequencePlan& sequence : resolved->sequences) {
    if (sequence.sample && sequence.token_ids.size() == 1 && sequence.num_computed >= sequence.prompt_size)
      ranks_->decodes[resolved->step].push_back(sequence.sequence);
  }
  const model::Layout& layout = ranks_->world.layout;
  for (Rank rank = 0; rank < layout.world_size(); ++rank) {
    ++workers_[ranks_->workers[static_cast<size_t>(rank)]]->steps_finished;
    const model::RankCoordinates at = CoordinatesOf(layout, rank);
    model::RankResult answer{.epoch = ranks_->epoch, .step = resolved->step};
    if (at.tp_rank == 0 && at.pp_rank == layout.pp - 1)
      answer.sequences = result.groups[static_cast<size_t>(at.dp_rank)];
    if (!answer.sequences.empty() && OneIn(random_, 10)) answer_ = answer;
    absl::Time& time = ranks_->last_answer[static_cast<size_t>(rank)];
    time = std::max(time, timeline_.now() + Delay());
    timeline_.At(time, [this, rank, answer = std::move(answer), number = ranks_->number] {
      if (ranks_->number == number && !ranks_->gone) TakeAnswer(rank, answer);
    });
  }
  TryCompute();
}

// The worker is as it should be again.
void ClusterSimulation::Heal(size_t index) {
  Worker& worker = *workers_[index];
  if (worker.process == 0) return;
  worker.stuck = worker.silent = false;
  worker.slow = 1;
  last_fault_ = timeline_.now();
  if (ranks_ != nullptr) TryCompute();
}

void ClusterSimulation::Fail() {
  if (timeline_.now() >= faults_end_ || ended_) return;
  last_fault_ = timeline_.now();
  ++figures_.faults_in[static_cast<int>(phase())];
  const auto index = static_cast<size_t>(random_()) % workers_.size();
  Worker& worker = *workers_[index];
  bool heals = false;
  switch (Draw(random_, 0, 8)) {
    case 0:
    case 1:
      Die(index, /*says_goodbye=*/OneIn(random_, 3));
      break;
    case 2:
      worker.silent = heals = true;
      break;
    case 3:
      worker.stuck = heals = true;
      break;
    case 4:
      worker.slow = 20;
      heals = true;
      break;
    case 5:  // the stream breaks, and the process attaches again
      BreakAttachStream(index);
      timeline_.After(Seconds(0, 1), [this, index, process = worker.process] { Hello(index, process); });
      break;
    case 6:  // a message of the steps is lost, and so its stream breaks
      if (ranks_ != nullptr) Break(absl::UnavailableError("a stream of steps broke"));
      break;
    case 7:  // an answer of an epoch that is over comes again
      if (ranks_ != nullptr && !ranks_->gone && !ranks_->plans.empty() && old_answer_ &&
          old_answer_->epoch != ranks_->epoch) {
        ++figures_.stale_results;
        if (planted_ == PlantedFault::kStaleAnswerTaken) {
          old_answer_->epoch = ranks_->epoch;
          old_answer_->step = ranks_->plans.front().header.step;
        }
        TakeAnswer(static_cast<Rank>(random_() % ranks_->workers.size()), *old_answer_);
      }
      break;
    case 8:
      if (OneIn(random_, 3)) RestartCoordinator();
      break;
  }
  if (heals) {
    constexpr double kTimes[] = {0.5, 2, 6, 12};
    const double time = kTimes[Draw(random_, 0, 3)];
    timeline_.After(Seconds(0.5 * time, 1.5 * time), [this, index, process = worker.process] {
      if (workers_[index]->process == process) Heal(index);
    });
  }
  timeline_.After(absl::Seconds(mean_between_faults_ * DrawGamma(random_, 1)), [this] { Fail(); });
}

}  // namespace deeprack::coordinator::sim
