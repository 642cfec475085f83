#include "coordinator/dispatch/worker_pool.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/dispatch/worker_calls.h"

namespace deeprack::coordinator {

std::string WorkerPool::NameOf(Rank rank) const {
  return absl::StrCat("rank ", rank, " (pid ", ranks_[rank].pid, " on ", ranks_[rank].host, ")");
}

void WorkerPool::Lose(const std::string& why) {
  const std::lock_guard lock(mutex_);
  if (!why_lost_.empty()) return;
  why_lost_ = why.empty() ? "a worker was lost" : why;
  lost_.notify_all();
  for (WorkerCalls* calls : calls_) calls->Cancel();
}

absl::Status WorkerPool::health() const {
  const std::lock_guard lock(mutex_);
  return why_lost_.empty() ? absl::OkStatus() : absl::UnavailableError(why_lost_);
}

absl::Status WorkerPool::AwaitLoss(absl::Duration timeout) const {
  std::unique_lock lock(mutex_);
  lost_.wait_for(lock, absl::ToChronoMilliseconds(timeout), [this] { return !why_lost_.empty(); });
  return why_lost_.empty() ? absl::OkStatus() : absl::UnavailableError(why_lost_);
}

void WorkerPool::Register(WorkerCalls* calls) {
  const std::lock_guard lock(mutex_);
  calls_.push_back(calls);
  if (!why_lost_.empty()) calls->Cancel();
}

void WorkerPool::Unregister(WorkerCalls* calls) {
  const std::lock_guard lock(mutex_);
  std::erase(calls_, calls);
}

void WorkerPool::StopWorkers(const std::string& reason, absl::Duration timeout) {
  cluster::StopRequest request;
  request.set_reason(reason);
  std::mutex mutex;
  std::condition_variable answered;
  int pending = size();
  std::vector<std::unique_ptr<WorkerClient::Call>> calls;
  for (Rank rank = 0; rank < size(); ++rank) {
    calls.push_back(client(rank).Stop(request, timeout, [&](const absl::Status&) {
      const std::lock_guard lock(mutex);
      if (--pending == 0) answered.notify_all();
    }));
  }
  std::unique_lock lock(mutex);
  answered.wait(lock, [&] { return pending == 0; });
}

}  // namespace deeprack::coordinator
