// How far the cluster has come, for /ready, /health and the endpoints that need a model. Thread-safe.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>

namespace deeprack::coordinator {

class Readiness {
 public:
  enum class State : uint8_t { kWaitingForWorkers, kLoading, kReady, kFailed, kStopping };

  struct Snapshot {
    State state = State::kWaitingForWorkers;
    int32_t workers_joined = 0, workers_expected = 0;
    int64_t bytes_done = 0, bytes_total = 0;  // of weights, over all ranks
    std::string message;                      // why not ready, for people
  };

  void SetWorkers(int32_t joined, int32_t expected);
  void SetLoading(int64_t bytes_done, int64_t bytes_total);
  void SetReady();
  // A failure is final: only SetStopping changes the state after it.
  void SetFailed(std::string why);
  void SetStopping();

  Snapshot snapshot() const;

 private:
  bool Locked() const { return now_.state >= State::kFailed; }

  mutable std::mutex mutex_;
  Snapshot now_;
};

// "waiting_for_workers", "loading", "ready", "failed", "stopping"
const char* Name(Readiness::State state);

// The body of /ready: ready, state, workers_joined, workers_expected, bytes_done, bytes_total, fraction,
// message.
std::string ToJson(const Readiness::Snapshot& snapshot);

}  // namespace deeprack::coordinator
