#include "coordinator/dispatch/worker_calls.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace deeprack::coordinator {
namespace {

// The wait after a rank fails. In this time its peers fail too, and membership learns which process died.
constexpr absl::Duration kCauseMayTake = absl::Milliseconds(300);

// The distance of an error from the cause. Verdict takes the error with the least distance. In ascending
// order: a process that is gone; an error of a rank's own; an error about peers (a rank stopped waiting for
// them, or was told that another rank stopped); a cancellation by this coordinator.
int DistanceFromCause(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kUnavailable:
      return 0;
    case absl::StatusCode::kDeadlineExceeded:
      return 2;
    case absl::StatusCode::kAborted:
      return 3;
    case absl::StatusCode::kCancelled:
      return 4;
    default:
      return 1;
  }
}

}  // namespace

WorkerCalls::WorkerCalls(WorkerPool* pool) : pool_(pool), calls_(pool->size()), running_(pool->size()) {
  pool_->Register(this);
}

WorkerCalls::~WorkerCalls() { pool_->Unregister(this); }

void WorkerCalls::Start(Rank rank,
                        const std::function<std::unique_ptr<WorkerClient::Call>(WorkerClient::Done)>& start) {
  std::unique_ptr<WorkerClient::Call> call =
      start([this, rank](const absl::Status& status) { Ended(rank, status); });
  WorkerClient::Call* to_cancel = nullptr;
  {
    const std::lock_guard lock(mutex_);
    calls_[rank].call = std::move(call);
    if (cancelled_) to_cancel = calls_[rank].call.get();
  }
  if (to_cancel != nullptr) to_cancel->Cancel();
}

void WorkerCalls::Ended(Rank rank, const absl::Status& status) {
  const std::lock_guard lock(mutex_);
  Call& call = calls_[rank];
  DR_CHECK(!call.ended);
  call.ended = true;
  call.status = status;
  if (!status.ok()) failed_ = true;
  --running_;
  changed_.notify_all();
}

// Calls Cancel on each call without the lock, because that may call Ended. The calls live as long as this
// object.
void WorkerCalls::Cancel() {
  std::vector<WorkerClient::Call*> started;
  {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    for (const Call& call : calls_) {
      if (call.call != nullptr) started.push_back(call.call.get());
    }
  }
  for (WorkerClient::Call* call : started) call->Cancel();
}

bool WorkerCalls::SettledWithin(absl::Duration timeout) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, absl::ToChronoMilliseconds(timeout),
                           [this] { return failed_ || running_ == 0; });
}

void WorkerCalls::LetDeadlinesPass(absl::Duration time) {
  std::unique_lock lock(mutex_);
  const bool passed = std::any_of(calls_.begin(), calls_.end(),
                                  [](const Call& call) { return absl::IsDeadlineExceeded(call.status); });
  if (!passed) return;
  changed_.wait_for(lock, absl::ToChronoMilliseconds(time), [this] { return running_ == 0; });
}

absl::Status WorkerCalls::Wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return failed_ || running_ == 0; });
  if (failed_) {
    changed_.wait_for(lock, absl::ToChronoMilliseconds(kCauseMayTake), [this] { return running_ == 0; });
  }
  if (running_ > 0) {
    for (Rank rank = 0; rank < pool_->size(); ++rank) {
      if (!calls_[rank].ended) unanswered_.push_back(rank);
    }
    lock.unlock();
    Cancel();
    lock.lock();
    changed_.wait(lock, [this] { return running_ == 0; });
  }
  if (!failed_) return absl::OkStatus();
  lock.unlock();  // all calls have ended, so nothing changes after this
  return Verdict();
}

absl::Status WorkerCalls::Verdict() {
  Rank nearest = -1;
  for (Rank rank = 0; rank < pool_->size(); ++rank) {
    const absl::StatusCode code = calls_[rank].status.code();
    if (code == absl::StatusCode::kOk) continue;
    if (nearest < 0 || DistanceFromCause(code) < DistanceFromCause(calls_[nearest].status.code())) {
      nearest = rank;
    }
  }
  const absl::Status& status = calls_[nearest].status;
  // Soon after a broken connection, membership knows which process died.
  const bool broken = absl::IsUnavailable(status) || absl::IsCancelled(status);
  const absl::Status lost = broken ? pool_->AwaitLoss(kCauseMayTake) : pool_->health();
  if (!lost.ok()) return lost;
  return absl::Status(status.code(), absl::StrCat(pool_->NameOf(nearest), ": ", status.message()));
}

}  // namespace deeprack::coordinator
