#include "tests/sim/scheduler_simulation.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "tests/sim/draw.h"
#include "tests/unit/scheduler/scheduler_peer.h"

namespace deeprack::coordinator::sim {
namespace {

// A prompt that needs more steps than lie between two losses would never finish.
constexpr int64_t kMostLosses = 25;
constexpr int64_t kMostSteps = 200'000;
constexpr size_t kMostStale = 3;

template <class... Parts>
absl::Status Fault(const Parts&... parts) {
  return absl::InternalError(absl::StrCat(parts...));
}

bool Speculates(const model::StepPlan& plan) {
  return std::ranges::any_of(plan.groups, [](const model::GroupPlan& group) {
    return std::ranges::any_of(
        group.rows, [](const model::SequenceRows& rows) { return rows.drafts > 0 || rows.next_drafts > 0; });
  });
}

}  // namespace

RunOptions OptionsOf(uint64_t seed) {
  RunOptions options{.arrivals = static_cast<int32_t>(10 + seed % 37)};
  const uint64_t kind = seed % 6;
  if (kind >= 2) options.steps_per_loss = kind % 2 == 0 ? 8 : 60;
  if (kind == 1 || kind == 4) options.steps_per_fault = 40;
  if (kind == 5 && seed % 12 == 5) {
    options.deadly = 1 + seed % 10;
    options.steps_per_loss = 0;
  }
  return options;
}

void RunFigures::Add(const RunFigures& run) {
  steps += run.steps;
  preemptions += run.preemptions;
  prefix_cache_hits += run.prefix_cache_hits;
  drafts_accepted += run.drafts_accepted;
  drafts_rejected += run.drafts_rejected;
  losses += run.losses;
  faults += run.faults;
  stale_results += run.stale_results;
  cancelled += run.cancelled;
  most_under_way = std::max(most_under_way, run.most_under_way);
}

SchedulerSimulation::SchedulerSimulation(uint64_t seed, const RunOptions& options)
    : random_(seed),
      options_(options),
      limits_(RandomLimits(random_)),
      scheduler_(std::make_unique<Scheduler>(limits_, epoch_)),
      cluster_(limits_),
      traffic_(limits_, random_),
      arrivals_left_(options.arrivals) {
  constexpr double kGaps[] = {0.2, 1, 3, 10};
  mean_gap_ = kGaps[Draw(random_, 0, 3)];
  if (plants(PlantedFault::kDraftCommittedUnverified)) cluster_.CommitDraftsUnverified();
}

SchedulerSimulation::~SchedulerSimulation() {
  static std::vector<std::unique_ptr<Scheduler>>& unfit = *new std::vector<std::unique_ptr<Scheduler>>();
  if (unfit_) unfit.push_back(std::move(scheduler_));
}

absl::Status SchedulerSimulation::Run() {
  while (arrivals_left_ > 0 || !scheduler_->idle() || !under_way_.empty()) {
    DR_RETURN_IF_ERROR(Advance());
    if (figures_.steps > kMostSteps) return Fault("no end in sight after ", figures_.steps, " steps");
  }
  return CheckEnd();
}

absl::Status SchedulerSimulation::Advance() {
  DR_RETURN_IF_ERROR(ArriveDue());
  DR_RETURN_IF_ERROR(MaybeCancel());
  if (IsLost() && MayLose()) DR_RETURN_IF_ERROR(Lose());
  for (;;) {
    DR_ASSIGN_OR_RETURN(std::optional<model::StepPlan> plan, Plan());
    if (!plan.has_value()) break;
    NoteSlots(*plan);
    if (!under_way_.empty() && Speculates(under_way_.back()))
      return Fault("a step is planned behind step ", under_way_.back().header.step, ", which has drafts");
    under_way_.push_back(*std::move(plan));
    figures_.most_under_way = std::max(figures_.most_under_way, std::ssize(under_way_));
    DR_RETURN_IF_ERROR(MaybeCancel());  // while the step is under way
  }
  if (!under_way_.empty()) return ReceiveStep();
  if (!scheduler_->idle()) return Fault("work is left and none of it is planned");
  now_ = std::max(now_, next_arrival_);
  return absl::OkStatus();
}

absl::Status SchedulerSimulation::ReceiveStep() {
  ++now_;
  ++figures_.steps;
  DR_RETURN_IF_ERROR(MaybeCancel());
  DR_ASSIGN_OR_RETURN(const ResolvedPlan plan, cluster_.Begin(under_way_.front()));
  DR_ASSIGN_OR_RETURN(ResolvedResult result, cluster_.Execute(plan));
  if (Breaks(plan)) {
    stale_.push_back(result.Joined());
    if (stale_.size() > kMostStale) stale_.pop_front();
    return Lose();
  }
  if (options_.steps_per_fault > 0 && random_() % options_.steps_per_fault == 0) Spoil(plan, result);
  const model::StepResult joined = result.Joined();
  DR_RETURN_IF_ERROR(cluster_.Accept(joined));
  const int64_t steps_under_way = scheduler_->steps_under_way();
  DR_RETURN_IF_ERROR(OfferStale());
  if (scheduler_->steps_under_way() == steps_under_way) {
    DR_ASSIGN_OR_RETURN(std::vector<TokenEvent> events, scheduler_->Apply(joined));
    DR_RETURN_IF_ERROR(TakeAll(std::move(events)));
  }
  under_way_.pop_front();
  NoteDecodes(plan);
  return Audit(*scheduler_);
}

// Results of epochs that are over come again. The scheduler takes none of them.
absl::Status SchedulerSimulation::OfferStale() {
  for (model::StepResult& result : stale_) {
    if (result.step != under_way_.front().header.step && !OneIn(random_, 20)) continue;
    ++figures_.stale_results;
    if (plants(PlantedFault::kStaleEpochAccepted)) result.epoch = epoch_;
    auto events = scheduler_->Apply(result);
    if (events.ok() && !plants(PlantedFault::kStaleEpochAccepted))
      return Fault("a result of epoch ", result.epoch, " was taken in epoch ", epoch_);
    if (!events.ok()) continue;
    DR_RETURN_IF_ERROR(TakeAll(*std::move(events)));
    break;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<model::StepPlan>> SchedulerSimulation::Plan() {
  if (options_.forget_prefixes) SchedulerPeer::ForgetFoundPrefixes(*scheduler_);
  fairness_.BeforePlan(*scheduler_);
  if (plants(PlantedFault::kSequenceForgotten) && OneIn(random_, 50)) {
    SequenceSet& waiting = SchedulerPeer::waiting(*scheduler_);
    if (!waiting.empty()) waiting.erase(waiting.begin());
    fairness_.BeforePlan(*scheduler_);
  }
  auto plan = plants(PlantedFault::kDoubleFreeOnPreempt) ? PlanWithDoubleFree()
              : plants(PlantedFault::kOvertaken)         ? PlanWithoutHead()
                                                         : scheduler_->Plan();
  DR_RETURN_IF_ERROR(fairness_.AfterPlan(*scheduler_, plan.has_value()));
  DR_RETURN_IF_ERROR(Audit(*scheduler_));
  return plan;
}

absl::Status SchedulerSimulation::ArriveDue() {
  for (; arrivals_left_ > 0 && next_arrival_ <= now_; --arrivals_left_) {
    next_arrival_ += mean_gap_ * traffic_.NextGap();
    const SequenceId id = ++last_id_;
    Request request = traffic_.NextRequest();
    cluster_.Expect(id, static_cast<int32_t>(request.prompt.size()));
    streams_.Open(id, request, limits_);
    if (id == options_.deadly) streams_.at(id).may_fail = "it breaks every step";
    DR_RETURN_IF_ERROR(scheduler_->Add(id, std::move(request)));
  }
  return absl::OkStatus();
}

absl::Status SchedulerSimulation::MaybeCancel() {
  if (last_id_ == 0 || !OneIn(random_, 60)) return absl::OkStatus();
  const SequenceId id = last_id_ - random_() % std::min<uint64_t>(last_id_, 10);
  streams_.at(id).cancelled = true;
  if (plants(PlantedFault::kPageLeakedOnCancel)) LeakPage(id);
  if (auto event = scheduler_->Cancel(id)) {
    ++figures_.cancelled;
    DR_RETURN_IF_ERROR(Take(*std::move(event)));
  }
  if (plants(PlantedFault::kPageReusedUnderWay)) GivePagesBackEarly(id);
  return Audit(*scheduler_);
}

bool SchedulerSimulation::IsLost() {
  return options_.steps_per_loss > 0 && figures_.losses < kMostLosses &&
         random_() % options_.steps_per_loss == 0;
}

// A random loss is never a third one in a row for any sequence. The scheduler would end a sequence that was
// alone in its step.
bool SchedulerSimulation::MayLose() const {
  const std::set<SequenceId> ids = UnderWay();
  return std::ranges::all_of(ids,
                             [this](SequenceId id) { return streams_.streams().at(id).broken_steps < 2; });
}

bool SchedulerSimulation::Breaks(const ResolvedPlan& plan) {
  for (const SequencePlan& sequence : plan.sequences) {
    if (sequence.sequence == options_.deadly && !sequence.token_ids.empty()) return true;
  }
  return IsLost() && MayLose();
}

absl::Status SchedulerSimulation::Lose() {
  ++figures_.losses;
  for (const SequenceId id : UnderWay()) ++streams_.at(id).broken_steps;
  under_way_.clear();
  computed_in_.clear();
  fairness_.Reset();
  DR_RETURN_IF_ERROR(TakeAll(scheduler_->Interrupt(absl::UnavailableError("a rank was lost"))));
  DR_RETURN_IF_ERROR(Audit(*scheduler_));
  if (const int64_t used = scheduler_->Stats().blocks_used; used != 0)
    return Fault(used, " pages are held and no rank is there");
  DR_RETURN_IF_ERROR(MaybeCancel());  // while there are no ranks
  cluster_.Replace(limits_.dp);
  epoch_ += 1 + random_() % 3;
  return TakeAll(scheduler_->Resume(epoch_, limits_.blocks_per_dp_rank, limits_.dp));
}

void SchedulerSimulation::NoteSlots(const model::StepPlan& plan) {
  for (size_t group = 0; group < plan.groups.size(); ++group) {
    for (const model::OpenedSequence& opened : plan.groups[group].opened) {
      slots_[{group, opened.slot}] = opened.sequence;
    }
    for (const model::SequenceRows& rows : plan.groups[group].rows) {
      computed_in_[plan.header.step].insert(slots_.at({group, rows.slot}));
    }
  }
}

std::set<SequenceId> SchedulerSimulation::UnderWay() const {
  std::set<SequenceId> ids;
  for (const model::StepPlan& plan : under_way_) {
    const std::set<SequenceId>& of_step = computed_in_.at(plan.header.step);
    ids.insert(of_step.begin(), of_step.end());
  }
  return ids;
}

// A sequence that decodes has replayed what the losses took from it.
void SchedulerSimulation::NoteDecodes(const ResolvedPlan& plan) {
  for (const SequencePlan& sequence : plan.sequences) {
    const bool decodes =
        sequence.sample && sequence.token_ids.size() == 1 && sequence.num_computed >= sequence.prompt_size;
    if (decodes) streams_.at(sequence.sequence).broken_steps = 0;
  }
  computed_in_.erase(plan.step);
}

// A sequence of the step is refused by its ranks, or its logits are not finite.
void SchedulerSimulation::Spoil(const ResolvedPlan& plan, ResolvedResult& result) {
  const size_t i = static_cast<size_t>(random_()) % plan.sequences.size();
  const SequencePlan& sequence = plan.sequences[i];
  const bool has_outcome = sequence.sample || sequence.prompt_logprobs >= 0;
  Stream& stream = streams_.at(sequence.sequence);
  if (!has_outcome || stream.finish != FinishReason::kNone) return;
  ++figures_.faults;
  stream.may_fail = "its ranks refused it";
  result.sequences[i] = {.sequence = sequence.sequence};
  if (OneIn(random_, 2)) {
    result.sequences[i].refused = "no such token";
  } else {
    result.sequences[i].non_finite = model::NonFiniteRow{.position = sequence.num_computed};
  }
}

absl::Status SchedulerSimulation::TakeAll(std::vector<TokenEvent> events) {
  for (TokenEvent& event : events) DR_RETURN_IF_ERROR(Take(std::move(event)));
  return absl::OkStatus();
}

absl::Status SchedulerSimulation::Take(TokenEvent event) {
  if (options_.planted >= PlantedFault::kTokenLost && options_.planted <= PlantedFault::kEndedTwice &&
      OneIn(random_, 30))
    return TakeSpoilt(std::move(event));
  DR_RETURN_IF_ERROR(streams_.Take(event));
  if (event.finish == FinishReason::kNone) return absl::OkStatus();
  cluster_.Forget(event.sequence);
  const Stream& stream = streams_.at(event.sequence);
  if (event.finish != FinishReason::kLength && event.finish != FinishReason::kStop) return absl::OkStatus();
  std::vector<TokenId> conversation = stream.request.prompt;
  conversation.insert(conversation.end(), stream.tokens.begin(), stream.tokens.end());
  traffic_.Remember(std::move(conversation));
  return absl::OkStatus();
}

absl::Status SchedulerSimulation::CheckEnd() {
  DR_RETURN_IF_ERROR(streams_.CheckAllEnded());
  const ServingStats stats = scheduler_->Stats();
  if (stats.blocks_used != 0) return Fault(stats.blocks_used, " pages are held at the end");
  if (stats.running + stats.waiting != 0) return Fault("sequences are left at the end");
  if (stats.sequences_refused + stats.non_finite_logits != figures_.faults)
    return Fault(stats.sequences_refused, " refusals and ", stats.non_finite_logits, " rows not finite for ",
                 figures_.faults, " faults");
  if (options_.deadly == 0) return absl::OkStatus();
  if (figures_.losses > 3) return Fault("one sequence broke ", figures_.losses, " steps");
  const FinishReason finish = streams_.at(options_.deadly).finish;
  if (finish != FinishReason::kError && finish != FinishReason::kCancelled)
    return Fault("the sequence that breaks every step ended with reason ", int(finish));
  return absl::OkStatus();
}

RunFigures SchedulerSimulation::figures() const {
  RunFigures figures = figures_;
  const ServingStats stats = scheduler_->Stats();
  figures.preemptions = stats.preemptions;
  figures.prefix_cache_hits = stats.prefix_cache_hits;
  figures.drafts_accepted = stats.drafts.accepted;
  figures.drafts_rejected = stats.drafts.drafts - stats.drafts.accepted;
  figures.digest = cluster_.digest();
  return figures;
}

}  // namespace deeprack::coordinator::sim
