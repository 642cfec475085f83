#include "coordinator/dispatch/step_loop.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "coordinator/scheduler/scheduler.h"

namespace deeprack::coordinator {
namespace {

// The members have two owners: any thread uses the members under mutex_, and only the loop's thread uses the
// others.
class StepLoopThread final : public StepLoop {
 public:
  StepLoopThread(const SchedulerLimits& limits, Epoch epoch, StepExecutor* executor, Clock* clock,
                 std::function<void(const absl::Status&)> on_broken)
      : clock_(clock),
        on_broken_(std::move(on_broken)),
        executor_(executor),
        scheduler_(limits, epoch),
        limits_(limits),
        stats_(scheduler_.Stats()) {
    thread_ = std::thread([this] { Run(); });
  }

  ~StepLoopThread() override {
    Fail(absl::CancelledError("the server is shutting down"));
    thread_.join();
  }

  absl::StatusOr<SequenceId> Submit(Request request, EventSink sink) override;
  void Cancel(SequenceId sequence) override;
  void Fail(absl::Status why) override;
  void Suspend(absl::Status why) override;
  void Resume(Epoch epoch, StepExecutor* executor, int32_t blocks_per_dp_rank, int32_t dp) override;

  ServingStats Stats() const override {
    std::lock_guard lock(mutex_);
    ServingStats stats = stats_;
    stats.waiting += static_cast<int64_t>(commands_.submissions.size());
    return stats;
  }

  absl::Status health() const override {
    std::lock_guard lock(mutex_);
    return health_;
  }

 private:
  struct Submission {
    SequenceId id = 0;
    Request request;
    EventSink sink;
  };
  struct NewRanks {
    Epoch epoch = 0;
    StepExecutor* executor = nullptr;
    int32_t blocks_per_dp_rank = 0;
    int32_t dp = 0;
  };
  struct Commands {  // executed in this order, so a cancellation follows its submission
    std::optional<NewRanks> resume;
    std::vector<Submission> submissions;
    absl::Status interrupt;  // the reason for an interruption; OK: none
    std::vector<SequenceId> cancellations;
    bool empty() const { return !resume && submissions.empty() && cancellations.empty(); }
  };

  void Run();
  // Waits until there are commands or sequences to run. Returns the commands; nullopt when serving has ended.
  std::optional<Commands> NextCommands();
  void Admit(std::vector<Submission> submissions);
  void Obey(Commands commands);
  absl::Status Advance();
  // Sends the steps that can be planned now.
  absl::Status SendSteps();
  // Waits for the oldest step under way and applies it.
  absl::Status ReceiveStep();
  void EndStalled();
  void TakeFailure(const absl::Status& why);
  void Interrupt(const absl::Status& why);
  void Resume(const NewRanks& ranks);
  void AddTimings(const std::vector<model::StepTimings>& ranks);
  ServingStats CurrentStats() const;
  void PublishStats();
  void Deliver(TokenEvent event);
  void DeliverAll(std::vector<TokenEvent> events);
  void EndAll();

  Clock* const clock_;
  const std::function<void(const absl::Status&)> on_broken_;

  // Only the loop's thread uses the members from here to rank_totals_.
  StepExecutor* executor_;
  Scheduler scheduler_;
  struct Stream {
    EventSink sink;
    absl::Time first_scheduled = absl::InfiniteFuture();
  };
  std::unordered_map<SequenceId, Stream> streams_;
  std::vector<model::StepTimings> rank_totals_;

  mutable std::mutex mutex_;
  std::condition_variable wake_, interrupted_changed_;
  SchedulerLimits limits_;
  Commands commands_;
  SequenceId last_id_ = 0;
  absl::Status health_;       // not OK: the reason why serving has ended
  absl::Status suspended_;    // not OK: the reason why no step is taken
  bool interrupted_ = false;  // true: the loop's thread has interrupted the scheduler
  ServingStats stats_;        // the scheduler's stats after its last change

  std::thread thread_;  // the last member: the thread starts when all other members exist
};

absl::StatusOr<SequenceId> StepLoopThread::Submit(Request request, EventSink sink) {
  std::lock_guard lock(mutex_);
  DR_RETURN_IF_ERROR(CheckRequest(limits_, request));
  if (!health_.ok()) return absl::UnavailableError(absl::StrCat("not serving: ", health_.message()));
  if (!suspended_.ok()) {
    return absl::UnavailableError(
        absl::StrCat("not serving until the ranks have come together again: ", suspended_.message()));
  }
  const int64_t waiting = stats_.waiting + static_cast<int64_t>(commands_.submissions.size());
  if (waiting >= limits_.max_waiting) {
    return absl::ResourceExhaustedError(absl::StrCat(waiting,
                                                     " requests are waiting, which is the most that may (",
                                                     limits_.max_waiting, "); try again later"));
  }
  commands_.submissions.push_back({++last_id_, std::move(request), std::move(sink)});
  wake_.notify_one();
  return last_id_;
}

void StepLoopThread::Cancel(SequenceId sequence) {
  std::lock_guard lock(mutex_);
  if (!health_.ok()) return;  // the sequence has its last event or gets it soon
  commands_.cancellations.push_back(sequence);
  wake_.notify_one();
}

void StepLoopThread::Fail(absl::Status why) {
  DR_CHECK(!why.ok());
  std::lock_guard lock(mutex_);
  if (health_.ok()) health_ = std::move(why);  // the first reason is kept
  wake_.notify_one();
  interrupted_changed_.notify_all();
}

void StepLoopThread::Suspend(absl::Status why) {
  DR_CHECK(!why.ok());
  std::unique_lock lock(mutex_);
  if (suspended_.ok()) suspended_ = std::move(why);
  wake_.notify_one();
  interrupted_changed_.wait(lock, [this] { return interrupted_ || !health_.ok(); });
}

void StepLoopThread::Resume(Epoch epoch, StepExecutor* executor, int32_t blocks_per_dp_rank, int32_t dp) {
  std::lock_guard lock(mutex_);
  if (!health_.ok()) return;
  DR_CHECK(interrupted_);
  limits_ = InLayout(limits_, blocks_per_dp_rank, dp);
  commands_.resume = {epoch, executor, blocks_per_dp_rank, dp};
  suspended_ = absl::OkStatus();
  interrupted_ = false;
  wake_.notify_one();
}

void StepLoopThread::Run() {
  while (std::optional<Commands> commands = NextCommands()) {
    Obey(*std::move(commands));
    if (scheduler_.interrupted()) continue;
    if (const absl::Status status = Advance(); !status.ok()) TakeFailure(status);
  }
  EndAll();
}

void StepLoopThread::TakeFailure(const absl::Status& why) {
  if (on_broken_ == nullptr) {
    Fail(why);
    return;
  }
  {
    std::lock_guard lock(mutex_);
    if (!health_.ok()) return;
    if (suspended_.ok()) suspended_ = why;
  }
  on_broken_(why);
}

std::optional<StepLoopThread::Commands> StepLoopThread::NextCommands() {
  std::unique_lock lock(mutex_);
  stats_ = CurrentStats();
  wake_.wait(lock, [this] {
    if (!health_.ok() || !commands_.empty()) return true;
    return suspended_.ok() ? !scheduler_.idle() || scheduler_.steps_under_way() > 0 : !interrupted_;
  });
  if (!health_.ok()) return std::nullopt;
  stats_.waiting += static_cast<int64_t>(commands_.submissions.size());
  if (!interrupted_) commands_.interrupt = suspended_;
  return std::exchange(commands_, {});
}

void StepLoopThread::Admit(std::vector<Submission> submissions) {
  for (Submission& submission : submissions) {
    // Submit has checked the request.
    DR_CHECK(scheduler_.Add(submission.id, std::move(submission.request)).ok());
    streams_.emplace(submission.id, Stream{.sink = std::move(submission.sink)});
  }
}

void StepLoopThread::Obey(Commands commands) {
  if (commands.resume) Resume(*commands.resume);
  Admit(std::move(commands.submissions));
  if (!commands.interrupt.ok()) Interrupt(commands.interrupt);
  for (SequenceId id : commands.cancellations) {
    if (std::optional<TokenEvent> event = scheduler_.Cancel(id)) {
      PublishStats();
      Deliver(*std::move(event));
    }
  }
}

// The steps that the ranks still answer count. Ranks that are gone answer none.
void StepLoopThread::Interrupt(const absl::Status& why) {
  while (scheduler_.steps_under_way() > 0 && ReceiveStep().ok()) {
  }
  DeliverAll(scheduler_.Interrupt(why));
  executor_ = nullptr;
  std::lock_guard lock(mutex_);
  interrupted_ = true;
  interrupted_changed_.notify_all();
}

void StepLoopThread::Resume(const NewRanks& ranks) {
  executor_ = ranks.executor;
  DeliverAll(scheduler_.Resume(ranks.epoch, ranks.blocks_per_dp_rank, ranks.dp));
}

absl::Status StepLoopThread::Advance() {
  DR_RETURN_IF_ERROR(SendSteps());
  if (scheduler_.steps_under_way() > 0) return ReceiveStep();
  if (!scheduler_.idle()) EndStalled();
  return absl::OkStatus();
}

absl::Status StepLoopThread::SendSteps() {
  while (const std::optional<model::StepPlan> plan = scheduler_.Plan()) {
    const absl::Time now = clock_->Now();
    for (const model::GroupPlan& group : plan->groups) {
      for (const model::OpenedSequence& opened : group.opened) {
        absl::Time& first = streams_.at(opened.sequence).first_scheduled;
        first = std::min(first, now);
      }
    }
    DR_RETURN_IF_ERROR(executor_->Send(*plan));
  }
  PublishStats();
  return absl::OkStatus();
}

absl::Status StepLoopThread::ReceiveStep() {
  DR_ASSIGN_OR_RETURN(const model::StepResult result, executor_->Receive());
  // If serving ended during the step, the tokens are dropped and every stream ends with the error. If the
  // loop was suspended during the step, the tokens count, because the ranks did compute them.
  DR_RETURN_IF_ERROR(health());
  DR_ASSIGN_OR_RETURN(std::vector<TokenEvent> events, scheduler_.Apply(result));
  AddTimings(result.rank_timings);
  for (const TokenEvent& event : events) {
    if (event.finish != FinishReason::kError) continue;
    spdlog::error("step {}: sequence {}: {}", result.step, event.sequence,
                  std::string(event.error.message()));
  }
  DeliverAll(std::move(events));
  return absl::OkStatus();
}

void StepLoopThread::EndStalled() {
  TokenEvent event = scheduler_.EndStalled();
  spdlog::error("sequence {}: {}", event.sequence, std::string(event.error.message()));
  PublishStats();
  Deliver(std::move(event));
}

void StepLoopThread::AddTimings(const std::vector<model::StepTimings>& ranks) {
  rank_totals_.resize(std::max(rank_totals_.size(), ranks.size()));
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    rank_totals_[rank].total_seconds += ranks[rank].total_seconds;
    rank_totals_[rank].collective_seconds += ranks[rank].collective_seconds;
  }
}

ServingStats StepLoopThread::CurrentStats() const {
  ServingStats stats = scheduler_.Stats();
  stats.ranks = rank_totals_;
  return stats;
}

void StepLoopThread::PublishStats() {
  std::lock_guard lock(mutex_);
  stats_ = CurrentStats();
}

void StepLoopThread::Deliver(TokenEvent event) {
  const auto found = streams_.find(event.sequence);
  DR_CHECK(found != streams_.end());
  event.first_scheduled = found->second.first_scheduled;
  if (event.finish == FinishReason::kNone) {
    found->second.sink(std::move(event));
    return;
  }
  const EventSink sink = std::move(found->second.sink);
  streams_.erase(found);
  sink(std::move(event));
}

void StepLoopThread::DeliverAll(std::vector<TokenEvent> events) {
  PublishStats();  // before the events: a client that has its last event finds its request counted
  for (TokenEvent& event : events) Deliver(std::move(event));
}

// Gives every sequence its last event. This includes sequences whose submissions are still queued.
void StepLoopThread::EndAll() {
  Commands unread;
  absl::Status why;
  {
    std::lock_guard lock(mutex_);
    unread = std::exchange(commands_, {});
    why = health_;
  }
  if (unread.resume) Resume(*unread.resume);  // the submissions were checked under the limits of these ranks
  Admit(std::move(unread.submissions));
  DeliverAll(scheduler_.Abort(why));
}

}  // namespace

std::unique_ptr<StepLoop> StepLoop::Start(const SchedulerLimits& limits, Epoch epoch, StepExecutor* executor,
                                          Clock* clock, std::function<void(const absl::Status&)> on_broken) {
  return std::make_unique<StepLoopThread>(limits, epoch, executor, clock, std::move(on_broken));
}

}  // namespace deeprack::coordinator
