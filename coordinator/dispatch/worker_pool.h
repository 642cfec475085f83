// The workers of one epoch, by rank: a client for each, and the first loss among them. When a rank is lost,
// calls to every rank end.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/ids.h"
#include "coordinator/dispatch/worker_client.h"

namespace deeprack::coordinator {

class WorkerCalls;

class WorkerPool {
 public:
  struct Worker {
    std::string host;
    int64_t pid = 0;
    std::unique_ptr<WorkerClient> client;
  };

  explicit WorkerPool(std::vector<Worker> ranks) : ranks_(std::move(ranks)) {}  // entry r is rank r

  int size() const { return static_cast<int>(ranks_.size()); }
  WorkerClient& client(Rank rank) const { return *ranks_[rank].client; }
  std::string NameOf(Rank rank) const;  // "rank 1 (pid 4711 on node3)"

  // A rank is gone: every call under way to any rank ends now, and every later one at once, with `why` (a
  // sentence that names the rank). Only the first loss is kept. From any thread.
  void Lose(const std::string& why);

  // OK, or Unavailable with the first loss.
  absl::Status health() const;

  // Returns health, once a loss is known or `timeout` has passed.
  absl::Status AwaitLoss(absl::Duration timeout) const;

  // Asks every worker to end its process, and waits for their answers up to `timeout`. Workers that are gone
  // are skipped.
  void StopWorkers(const std::string& reason, absl::Duration timeout);

 private:
  friend class WorkerCalls;
  void Register(WorkerCalls* calls);
  void Unregister(WorkerCalls* calls);

  const std::vector<Worker> ranks_;
  mutable std::mutex mutex_;
  mutable std::condition_variable lost_;
  std::string why_lost_;             // empty: no rank is lost
  std::vector<WorkerCalls*> calls_;  // the calls under way
};

}  // namespace deeprack::coordinator
