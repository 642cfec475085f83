// The state of the cluster, for /ready, /health and the endpoints that need a model. Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "base/ids.h"

namespace deeprack::coordinator {

class Readiness {
 public:
  enum class State : uint8_t { kWaitingForWorkers, kLoading, kReady, kRecovering, kFailed, kStopping };

  // A rank for which the other ranks wait (LateRanks).
  struct SlowRank {
    Rank rank = 0;
    std::string host;
    double share = 0;  // of the time of steps
  };

  struct Snapshot {
    State state = State::kWaitingForWorkers;
    int32_t workers_joined = 0, workers_expected = 0;
    std::vector<Rank> missing_ranks;          // ranks whose worker has not joined
    int64_t bytes_done = 0, bytes_total = 0;  // of weights, over all ranks
    std::vector<SlowRank> slow_ranks;         // while requests are served
    bool draining = false;                    // SetDraining was called
    std::string message;                      // for people: why the cluster is not ready
  };

  void SetWorkers(int32_t joined, int32_t expected, std::vector<Rank> missing = {});
  void SetLoading(int64_t bytes_done, int64_t bytes_total);
  void SetReady();
  void SetSlowRanks(std::vector<SlowRank> slow);
  // Ranks were lost because of `why`, and recovery begins. The state is kRecovering until SetReady;
  // SetWorkers and SetLoading change its progress and message.
  void SetRecovering(std::string why);
  // Serving has failed because of `why`. Only SetStopping changes the state after a failure.
  void SetFailed(std::string why);
  // From now on, requests that generate are refused, and the server is not ready. Streams go on.
  void SetDraining();
  void SetStopping();

  bool draining() const { return draining_; }
  Snapshot snapshot() const;

 private:
  bool Locked() const { return now_.state >= State::kFailed; }

  // With the lock held.
  void Progress(State state, std::string message);

  mutable std::mutex mutex_;
  Snapshot now_;
  std::atomic<bool> draining_ = false;
  std::string lost_;  // while recovering: the reason of the loss
};

// "waiting_for_workers", "loading", "ready", "recovering", "failed", "stopping"
const char* Name(Readiness::State state);

// The body of /ready. While a server that was ready drains, the state is "draining". An object of ready,
// state, workers_joined, workers_expected, missing_ranks, bytes_done, bytes_total, fraction, slow_ranks (of
// rank, host, share), message.
std::string ToJson(const Readiness::Snapshot& snapshot);

}  // namespace deeprack::coordinator
