#include "tests/sim/cluster_simulation.h"

#include <algorithm>

#include "coordinator/dispatch/join_step_results.h"
#include "tests/sim/cluster_parts.h"
#include "tests/sim/draw.h"

namespace deeprack::coordinator::sim {
namespace {

constexpr int64_t kMostEvents = 2'000'000;

// A layout, and perhaps a smaller one.
std::vector<model::Layout> RandomLayouts(std::mt19937_64& random) {
  model::Layout layout{.tp = OneIn(random, 3) ? 2 : 1, .dp = Draw(random, 1, 4)};
  layout.pp = layout.tp * layout.dp <= 4 && OneIn(random, 4) ? 2 : 1;
  std::vector<model::Layout> layouts = {layout};
  if (layout.dp > 1 && OneIn(random, 2)) {
    layout.dp /= 2;
    layouts.push_back(layout);
  }
  return layouts;
}

SchedulerLimits LimitsFor(const model::Layout& layout, std::mt19937_64& random) {
  SchedulerLimits limits = RandomLimits(random);
  limits.dp = layout.dp;
  // The steps of a run are few enough for two losses not to be all that happens.
  limits.max_step_tokens = std::max(limits.max_step_tokens, 8);
  return limits;
}

}  // namespace

void ClusterFigures::Add(const ClusterFigures& run) {
  steps += run.steps;
  epochs += run.epochs;
  restarts += run.restarts;
  stale_results += run.stale_results;
  given_up += run.given_up;
  requests += run.requests;
  smaller += run.smaller;
  for (int phase = 0; phase < kPhases; ++phase) faults_in[phase] += run.faults_in[phase];
}

ClusterSimulation::ClusterSimulation(uint64_t seed, PlantedFault planted)
    : random_(seed),
      planted_(planted),
      layouts_(RandomLayouts(random_)),
      limits_(LimitsFor(layouts_.front(), random_)),
      cluster_(limits_),
      traffic_(limits_, random_) {
  constexpr double kGaps[] = {0.05, 0.3, 1, 3}, kFaults[] = {1.5, 4, 12};
  mean_gap_ = kGaps[Draw(random_, 0, 3)];
  mean_between_faults_ = kFaults[Draw(random_, 0, 2)];
  arrivals_left_ = Draw(random_, 5, 25);
  faults_end_ = timeline_.now() + Seconds(10, 60);
  last_progress_ = last_fault_ = timeline_.now();
}

ClusterSimulation::~ClusterSimulation() = default;

absl::Duration ClusterSimulation::Seconds(double low, double high) {
  return absl::Seconds(low + (high - low) * DrawUnit(random_));
}

// A millisecond, and now and then much more.
absl::Duration ClusterSimulation::Delay() {
  return absl::Milliseconds(0.2 +
                            (OneIn(random_, 20) ? 30 * DrawGamma(random_, 0.2) : DrawGamma(random_, 2)));
}

void ClusterSimulation::Check(const absl::Status& status) {
  if (fault_.ok()) fault_ = status;
}

absl::Status ClusterSimulation::Run() {
  for (int32_t i = 0; i < layouts_.front().world_size(); ++i) workers_.push_back(std::make_unique<Worker>());
  StartCoordinator();
  for (size_t worker = 0; worker < workers_.size(); ++worker) {
    timeline_.After(Seconds(0, 2), [this, worker] { StartWorker(worker); });
  }
  timeline_.After(Seconds(0, 3), [this] { Arrive(); });
  timeline_.After(Seconds(0, 2 * mean_between_faults_), [this] { Fail(); });
  timeline_.After(kHealthChecks, [this] { CheckHealth(); });
  for (int64_t events = 0; fault_.ok(); ++events) {
    if (arrivals_left_ == 0 && streams_.live() == 0 && timeline_.now() >= faults_end_) break;
    if (ended_ && streams_.live() == 0) break;
    Require(timeline_.RunNext(), "nothing is left to happen and work is left");
    Require(events < kMostEvents, "no end in sight");
  }
  Check(streams_.CheckAllEnded());
  figures_.digest = cluster_.digest();
  return fault_;
}

void ClusterSimulation::StartCoordinator() {
  RosterOptions options{.layouts = layouts_,
                        .reform = true,
                        .health = {.heartbeat_timeout = kHeartbeatTimeout, .stuck_timeout = kStuckTimeout},
                        .load_options = kLoadOptions};
  const int recoveries = OneIn(random_, 8) ? 2 : 1000;
  coordinator_ = std::make_unique<Coordinator>(++coordinators_, options, timeline_.clock(), recoveries);
  coordinator_->forming_since = timeline_.now();
  coordinator_->roster.OnLoss([this](const Loss& loss) { OnLoss(loss); });
  LookForWorld();
}

// The process ends, with every stream, and another one starts. Workers keep what they have.
void ClusterSimulation::RestartCoordinator() {
  ++figures_.restarts;
  streams_.CutAll();
  if (ranks_) ranks_->gone = true;
  coordinator_ = nullptr;
  for (auto& worker : workers_) worker->member = -1;
  StartCoordinator();
  for (size_t i = 0; i < workers_.size(); ++i) {
    const int64_t process = workers_[i]->process;
    timeline_.After(Seconds(0.05, 2), [this, i, process] { Hello(i, process); });
  }
}

void ClusterSimulation::LookForWorld() {
  Coordinator& coordinator = *coordinator_;
  if (coordinator.state != Coordinator::State::kForming || ended_) return;
  const absl::StatusOr<World> world = coordinator.roster.WaitForWorld(absl::ZeroDuration());
  if (world.ok()) return StartLoading(*world);
  if (!absl::IsDeadlineExceeded(world.status())) return RestartCoordinator();  // in the first epoch only
  if (timeline_.now() - coordinator.forming_since >= kRecoveryTimeout &&
      !coordinator.roster.FormLargestFilled()) {
    return coordinator.scheduler == nullptr ? RestartCoordinator() : EndServing(world.status());
  }
  timeline_.After(kLooks, [this, number = coordinator.number] {
    if (coordinator_->number == number) LookForWorld();
  });
}

void ClusterSimulation::StartLoading(const World& world) {
  Coordinator& coordinator = *coordinator_;
  coordinator.state = Coordinator::State::kLoading;
  coordinator.breaking = false;
  ++figures_.epochs;
  figures_.smaller += world.layout == layouts_.front() ? 0 : 1;
  ranks_ = std::make_unique<Ranks>();
  ranks_->number = figures_.epochs;
  ranks_->epoch = world.epoch;
  ranks_->world = world;
  const size_t size = world.members.size();
  Require(std::ssize(world.members) == world.layout.world_size(), "a world without some of its ranks");
  ranks_->loaded.resize(size);
  ranks_->received.resize(size);
  ranks_->last_plan.resize(size, timeline_.now());
  ranks_->last_answer.resize(size, timeline_.now());
  ranks_->answers.resize(size);
  ranks_->to_load = std::ssize(world.members);
  cluster_.Replace(world.layout.dp);
  std::set<int64_t> taken;
  for (const Member& member : world.members) {
    const auto worker = static_cast<size_t>(member.node.pid % 100);
    Require(taken.insert(member.node.pid).second, "a worker has two ranks of epoch ", world.epoch);
    const Epoch last = workers_[worker]->process == member.node.pid / 100 ? workers_[worker]->last_epoch : 0;
    Require(world.epoch > last, "epoch ", world.epoch, " comes after epoch ", last, " of a worker");
    ranks_->workers.push_back(worker);
    ranks_->processes.push_back(member.node.pid / 100);
    timeline_.After(Delay(), [this, rank = member.rank, number = ranks_->number] {
      if (ranks_->number == number && !ranks_->gone) Load(rank, 0);
    });
  }
  ranks_->watch.emplace(world.layout.world_size(), kLoadProgressTimeout, timeline_.now());
  if (coordinator.last_loss && coordinator.last_loss->epoch == world.epoch)
    Break(absl::UnavailableError(ToString(*coordinator.last_loss)));
}

void ClusterSimulation::TakeLoaded(Rank rank) {
  if (ranks_->loaded[static_cast<size_t>(rank)]) return;
  ranks_->loaded[static_cast<size_t>(rank)] = true;
  ranks_->watch->Ended(rank);
  if (--ranks_->to_load == 0) Serve();
}

void ClusterSimulation::Serve() {
  Coordinator& coordinator = *coordinator_;
  coordinator.state = Coordinator::State::kServing;
  coordinator.limit.ServingBegan(timeline_.now());
  coordinator.serving_since = timeline_.now();
  last_progress_ = timeline_.now();
  coordinator.limits = InLayout(limits_, limits_.blocks_per_dp_rank, ranks_->world.layout.dp);
  if (coordinator.scheduler == nullptr) {
    coordinator.scheduler = std::make_unique<Scheduler>(coordinator.limits, ranks_->epoch);
  } else {
    TakeAll(
        coordinator.scheduler->Resume(ranks_->epoch, limits_.blocks_per_dp_rank, ranks_->world.layout.dp));
  }
  SendSteps();
}

void ClusterSimulation::SendSteps() {
  Coordinator& coordinator = *coordinator_;
  Scheduler& scheduler = *coordinator.scheduler;
  while (fault_.ok()) {
    coordinator.fairness.BeforePlan(scheduler);
    std::optional<model::StepPlan> plan = scheduler.Plan();
    Check(coordinator.fairness.AfterPlan(scheduler, plan.has_value()));
    if (!plan.has_value()) break;
    const StepId step = plan->header.step;
    for (size_t group = 0; group < plan->groups.size(); ++group) {
      for (const model::OpenedSequence& opened : plan->groups[group].opened)
        ranks_->slots[{group, opened.slot}] = opened.sequence;
      for (const model::SequenceRows& rows : plan->groups[group].rows)
        ranks_->computes[step].insert(ranks_->slots.at({group, rows.slot}));
    }
    ranks_->plans.push_back(*std::move(plan));
    for (size_t rank = 0; rank < ranks_->workers.size(); ++rank) {
      ranks_->last_plan[rank] = std::max(ranks_->last_plan[rank], timeline_.now() + Delay());
      timeline_.At(ranks_->last_plan[rank], [this, rank, step, number = ranks_->number] {
        if (ranks_->number != number || ranks_->gone) return;
        ranks_->received[rank] = step;
        TryCompute();
      });
    }
  }
  Require(scheduler.steps_under_way() > 0 || scheduler.idle(), "work is left and none of it is planned");
}

void ClusterSimulation::TakeAnswer(Rank rank, model::RankResult answer) {
  if (planted_ == PlantedFault::kAnswerLost && OneIn(random_, 100)) return;
  ranks_->answers[static_cast<size_t>(rank)].push_back(std::move(answer));
  while (!ranks_->gone && fault_.ok() &&
         std::ranges::none_of(ranks_->answers, [](const auto& of_rank) { return of_rank.empty(); })) {
    ApplyStep();
  }
}

void ClusterSimulation::ApplyStep() {
  Scheduler& scheduler = *coordinator_->scheduler;
  const model::StepPlan& plan = ranks_->plans.front();
  std::vector<model::RankResult> by_rank;
  bool stale = false;
  for (auto& of_rank : ranks_->answers) {
    by_rank.push_back(std::move(of_rank.front()));
    of_rank.pop_front();
    stale |= by_rank.back().epoch != ranks_->epoch;
  }
  const absl::StatusOr<model::StepResult> result =
      JoinStepResults(plan.header, std::move(by_rank), ranks_->world.layout, kVocabulary);
  Require(result.ok() != stale,
          stale ? "an answer of another epoch was taken: " : "an answer was not taken: ",
          result.status().message());
  if (!result.ok()) return Break(result.status());
  for (const SequenceId id : ranks_->decodes[plan.header.step]) streams_.at(id).broken_steps = 0;
  ranks_->decodes.erase(plan.header.step);
  ranks_->computes.erase(plan.header.step);
  ranks_->plans.pop_front();
  absl::StatusOr<std::vector<TokenEvent>> events = scheduler.Apply(*result);
  Check(events.status());
  if (!events.ok()) return;
  ++figures_.steps;
  last_progress_ = timeline_.now();
  TakeAll(*std::move(events));
  Check(Audit(scheduler));
  SendSteps();
}

// Called within calls of the roster.
void ClusterSimulation::OnLoss(const Loss& loss) {
  coordinator_->last_loss = loss;
  if (ranks_ == nullptr || loss.epoch != ranks_->epoch || coordinator_->breaking) return;
  coordinator_->breaking = true;
  timeline_.After(absl::ZeroDuration(), [this, loss, number = coordinator_->number] {
    if (coordinator_->number == number && ranks_->epoch == loss.epoch)
      Break(absl::UnavailableError(ToString(loss)));
  });
}

void ClusterSimulation::Break(const absl::Status& why, bool grows, bool load_failed) {
  Coordinator& coordinator = *coordinator_;
  if (coordinator.state == Coordinator::State::kForming || ranks_->gone || ended_) return;
  ranks_->gone = true;
  if (answer_ && answer_->epoch == ranks_->epoch) old_answer_ = answer_;
  if (coordinator.scheduler == nullptr) return RestartCoordinator();  // the first epoch did not come up
  if (!grows) {
    const bool forgotten = timeline_.now() - coordinator.serving_since >= kLongEnough;
    coordinator.failed_in_a_row = forgotten ? 1 : coordinator.failed_in_a_row + 1;
    const absl::Status limit = coordinator.limit.EpochEnded(timeline_.now(), why);
    Require(limit.ok() == (coordinator.failed_in_a_row <= coordinator.recoveries), "the recovery limit of ",
            coordinator.recoveries, " says ", limit.message(), " after ", coordinator.failed_in_a_row);
    if (!limit.ok()) return EndServing(limit);
  } else {
    coordinator.limit.EpochGivenUp(timeline_.now());
    coordinator.failed_in_a_row = 0;  // only an epoch that served long enough gives way to a larger one
  }
  coordinator.serving_since = absl::InfiniteFuture();
  coordinator.fairness.Reset();
  if (coordinator.state == Coordinator::State::kServing) {
    NoteBroken();
    TakeAll(coordinator.scheduler->Interrupt(why));
    Check(Audit(*coordinator.scheduler));
    Require(coordinator.scheduler->Stats().blocks_used == 0, "pages are held and no rank is there");
  }
  const bool smaller = load_failed && ranks_->world.layout != layouts_.back();
  coordinator.state = Coordinator::State::kForming;
  coordinator.forming_since = timeline_.now();
  coordinator.roster.EndEpoch(ranks_->epoch, smaller);
  LookForWorld();
}

void ClusterSimulation::EndServing(const absl::Status& why) {
  ++figures_.given_up;
  ended_ = true;
  arrivals_left_ = 0;
  streams_.MayFail("serving has ended");
  TakeAll(coordinator_->scheduler->Abort(why));
  Require(streams_.live() == 0, "serving has ended and streams have not");
}

void ClusterSimulation::CheckHealth() {
  Coordinator& coordinator = *coordinator_;
  coordinator.roster.CheckHealth();
  if (coordinator.state == Coordinator::State::kServing && !ranks_->gone &&
      coordinator.limit.ServedLongEnough(timeline_.now()) && coordinator.roster.fills_larger())
    Break(absl::UnavailableError("the workers of a larger layout are there"), /*grows=*/true);
  CheckLoad();
  CheckProgress();
  timeline_.After(kHealthChecks, [this] { CheckHealth(); });
}

// A worker whose load stalls still sends heartbeats.
void ClusterSimulation::CheckLoad() {
  if (coordinator_->state != Coordinator::State::kLoading || ranks_->gone) return;
  std::map<Rank, std::string> stalled;
  for (const Rank rank : ranks_->watch->Stalled(timeline_.now()))
    stalled[rank] = ranks_->watch->Describe(rank);
  if (!stalled.empty()) coordinator_->roster.Expel(ranks_->epoch, stalled);
}

void ClusterSimulation::CheckProgress() {
  if (ended_) return;
  const bool serves = coordinator_->state == Coordinator::State::kServing;
  if (streams_.live() == 0) last_progress_ = timeline_.now();
  Require(!serves || timeline_.now() - last_progress_ < kMostIdle, "the ranks are there and no step ends");
  Require(serves || timeline_.now() - last_fault_ < kMostRecovery, "the cluster does not come up again");
}

Phase ClusterSimulation::phase() const {
  if (coordinator_->state == Coordinator::State::kForming)
    return coordinator_->scheduler == nullptr ? Phase::kForming : Phase::kRecovering;
  if (coordinator_->state == Coordinator::State::kLoading) return Phase::kLoading;
  if (ranks_->plans.empty()) return Phase::kIdle;
  return ranks_->plans.front().header.decodes_only ? Phase::kDecode : Phase::kPrefill;
}

// A sequence that took part in three broken epochs in a row may be ended, if it was alone in the last one.
void ClusterSimulation::NoteBroken() {
  std::set<SequenceId> under_way;
  for (const auto& [step, sequences] : ranks_->computes) under_way.insert(sequences.begin(), sequences.end());
  for (const SequenceId id : under_way) {
    Stream& stream = streams_.at(id);
    const bool convicted = ++stream.broken_steps >= 3 && under_way.size() == 1;
    if (convicted && stream.finish == FinishReason::kNone) stream.may_fail = "it broke three epochs";
  }
}

void ClusterSimulation::Arrive() {
  if (arrivals_left_ == 0) return;
  MaybeCancel();
  double wait = 1;  // a refused request comes again
  if (coordinator_->state == Coordinator::State::kServing && !ranks_->gone) {
    Request request = traffic_.NextRequest();
    if (CheckRequest(coordinator_->limits, request).ok()) {
      ++figures_.requests;
      const SequenceId id = ++last_id_;
      cluster_.Expect(id, static_cast<int32_t>(request.prompt.size()));
      streams_.Open(id, request, coordinator_->limits);
      Check(coordinator_->scheduler->Add(id, std::move(request)));
      SendSteps();
    }
    --arrivals_left_;
    wait = mean_gap_ * traffic_.NextGap();
  }
  timeline_.After(absl::Seconds(wait), [this] { Arrive(); });
}

void ClusterSimulation::MaybeCancel() {
  if (last_id_ == 0 || coordinator_->scheduler == nullptr || !OneIn(random_, 4)) return;
  const SequenceId id = last_id_ - random_() % std::min<uint64_t>(last_id_, 10);
  streams_.at(id).cancelled = true;
  if (auto event = coordinator_->scheduler->Cancel(id)) TakeAll({*std::move(event)});
}

void ClusterSimulation::TakeAll(std::vector<TokenEvent> events) {
  for (const TokenEvent& event : events) {
    Check(streams_.Take(event));
    if (!fault_.ok()) return;
    if (event.finish == FinishReason::kNone) continue;
    cluster_.Forget(event.sequence);
    const Stream& stream = streams_.at(event.sequence);
    if (event.finish != FinishReason::kLength && event.finish != FinishReason::kStop) continue;
    std::vector<TokenId> conversation = stream.request.prompt;
    conversation.insert(conversation.end(), stream.tokens.begin(), stream.tokens.end());
    traffic_.Remember(std::move(conversation));
  }
}

}  // namespace deeprack::coordinator::sim
