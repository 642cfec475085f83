// The same call to every rank at once, and what it came to. Internal to dispatch/.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "coordinator/dispatch/worker_pool.h"
#include "grpcpp/grpcpp.h"
#include "proto/cluster.grpc.pb.h"

namespace deeprack::coordinator {

class WorkerCalls;

class ConnectedWorkerPool final : public WorkerPool {
 public:
  ConnectedWorkerPool(std::vector<WorkerAddress> ranks, const std::optional<ClusterTls>& tls);

  int size() const override { return static_cast<int>(ranks_.size()); }
  void Lose(const std::string& why) override;
  absl::Status health() const override;
  void StopWorkers(const std::string& reason, absl::Duration timeout) override;

  cluster::Worker::Stub* stub(Rank rank) const { return stubs_[rank].get(); }
  std::string NameOf(Rank rank) const;  // "rank 1 (pid 4711 on node3)"

 private:
  friend class WorkerCalls;
  void Register(WorkerCalls* calls);
  void Unregister(WorkerCalls* calls);

  const std::vector<WorkerAddress> ranks_;
  std::vector<std::unique_ptr<cluster::Worker::Stub>> stubs_;
  mutable std::mutex mutex_;
  std::condition_variable lost_;
  std::string why_lost_;             // empty: all are well
  std::vector<WorkerCalls*> calls_;  // under way
};

// One call to each rank. Start them with context(rank), report each one's end with Ended, then Wait.
class WorkerCalls {
 public:
  explicit WorkerCalls(ConnectedWorkerPool* pool);
  ~WorkerCalls();  // after Wait

  grpc::ClientContext* context(Rank rank) { return &calls_[rank].context; }
  void Ended(Rank rank, const grpc::Status& status);

  // Blocks until every call has ended. When one fails the others get a moment to fail by themselves, which
  // tells the cause from its consequences, and are cancelled then. The error of most weight, with its rank's
  // name.
  absl::Status Wait();

  void Cancel();

 private:
  struct Call {
    grpc::ClientContext context;
    bool ended = false;
    absl::Status status;
  };

  absl::Status Verdict();

  ConnectedWorkerPool* const pool_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Call> calls_;  // by rank
  int running_;
  bool failed_ = false;
};

}  // namespace deeprack::coordinator
