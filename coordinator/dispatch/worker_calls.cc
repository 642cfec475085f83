#include "coordinator/dispatch/worker_calls.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/rpc/credentials.h"
#include "base/rpc/status.h"

namespace deeprack::coordinator {
namespace {

// As the workers' own limit: the largest plan and the largest result.
constexpr int kMaxMessageBytes = 64 << 20;

// After a rank fails its peers fail too, and membership learns which process died.
constexpr auto kCauseMayTake = std::chrono::milliseconds(300);

// Of several errors the one nearest to the cause: a process that is gone, then an error of a rank's own, then
// one that is about peers (it gave up waiting, it was told that another gave up), then our own cancellation.
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

std::unique_ptr<WorkerPool> WorkerPool::Create(std::vector<WorkerAddress> ranks,
                                               const std::optional<ClusterTls>& tls) {
  return std::make_unique<ConnectedWorkerPool>(std::move(ranks), tls);
}

ConnectedWorkerPool::ConnectedWorkerPool(std::vector<WorkerAddress> ranks,
                                         const std::optional<ClusterTls>& tls)
    : ranks_(std::move(ranks)) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  arguments.SetMaxSendMessageSize(kMaxMessageBytes);
  const auto credentials = ChannelCredentials(tls, arguments);
  for (const WorkerAddress& rank : ranks_) {
    stubs_.push_back(
        cluster::Worker::NewStub(grpc::CreateCustomChannel(rank.address, credentials, arguments)));
  }
}

std::string ConnectedWorkerPool::NameOf(Rank rank) const {
  return absl::StrCat("rank ", rank, " (pid ", ranks_[rank].pid, " on ", ranks_[rank].host, ")");
}

void ConnectedWorkerPool::Lose(const std::string& why) {
  std::lock_guard lock(mutex_);
  if (!why_lost_.empty()) return;
  why_lost_ = why.empty() ? "a worker was lost" : why;
  lost_.notify_all();
  for (WorkerCalls* calls : calls_) calls->Cancel();
}

absl::Status ConnectedWorkerPool::health() const {
  std::lock_guard lock(mutex_);
  return why_lost_.empty() ? absl::OkStatus() : absl::UnavailableError(why_lost_);
}

void ConnectedWorkerPool::Register(WorkerCalls* calls) {
  std::lock_guard lock(mutex_);
  calls_.push_back(calls);
  if (!why_lost_.empty()) calls->Cancel();
}

void ConnectedWorkerPool::Unregister(WorkerCalls* calls) {
  std::lock_guard lock(mutex_);
  std::erase(calls_, calls);
}

void ConnectedWorkerPool::StopWorkers(const std::string& reason, absl::Duration timeout) {
  struct Farewell {
    grpc::ClientContext context;
    cluster::StopRequest request;
    cluster::StopReply reply;
  };
  std::vector<Farewell> farewells(size());
  std::mutex mutex;
  std::condition_variable answered;
  int pending = size();
  for (Rank rank = 0; rank < size(); ++rank) {
    Farewell& farewell = farewells[rank];
    farewell.request.set_reason(reason);
    farewell.context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(timeout));
    stub(rank)->async()->Stop(&farewell.context, &farewell.request, &farewell.reply,
                              [&](const grpc::Status&) {
                                std::lock_guard lock(mutex);
                                if (--pending == 0) answered.notify_all();
                              });
  }
  std::unique_lock lock(mutex);
  answered.wait(lock, [&] { return pending == 0; });
}

WorkerCalls::WorkerCalls(ConnectedWorkerPool* pool)
    : pool_(pool), calls_(pool->size()), running_(pool->size()) {
  pool_->Register(this);
}

WorkerCalls::~WorkerCalls() { pool_->Unregister(this); }

void WorkerCalls::Ended(Rank rank, const grpc::Status& status) {
  std::lock_guard lock(mutex_);
  Call& call = calls_[rank];
  DR_CHECK(!call.ended);
  call.ended = true;
  call.status = FromGrpc(status);
  if (!status.ok()) failed_ = true;
  --running_;
  changed_.notify_all();
}

void WorkerCalls::Cancel() {
  for (Call& call : calls_) call.context.TryCancel();
}

absl::Status WorkerCalls::Wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return failed_ || running_ == 0; });
  if (failed_) changed_.wait_for(lock, kCauseMayTake, [this] { return running_ == 0; });
  if (running_ > 0) {
    lock.unlock();
    Cancel();
    lock.lock();
    changed_.wait(lock, [this] { return running_ == 0; });
  }
  if (!failed_) return absl::OkStatus();
  lock.unlock();  // all calls have ended: nothing changes any more
  return Verdict();
}

absl::Status WorkerCalls::Verdict() {
  Rank worst = -1;
  for (Rank rank = 0; rank < pool_->size(); ++rank) {
    const absl::StatusCode code = calls_[rank].status.code();
    if (code == absl::StatusCode::kOk) continue;
    if (worst < 0 || DistanceFromCause(code) < DistanceFromCause(calls_[worst].status.code())) worst = rank;
  }
  const absl::Status& status = calls_[worst].status;
  if (absl::IsUnavailable(status) || absl::IsCancelled(status)) {
    // A broken connection: membership knows who it was, now or in a moment.
    std::unique_lock lock(pool_->mutex_);
    pool_->lost_.wait_for(lock, kCauseMayTake, [this] { return !pool_->why_lost_.empty(); });
  }
  if (absl::Status lost = pool_->health(); !lost.ok()) return lost;
  return absl::Status(status.code(), absl::StrCat(pool_->NameOf(worst), ": ", status.message()));
}

}  // namespace deeprack::coordinator
