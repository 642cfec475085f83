#include "coordinator/api/readiness.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace deeprack::coordinator {

void Readiness::Progress(State state, std::string message) {
  if (now_.state == State::kRecovering) {
    now_.message = absl::StrCat(lost_, "; ", message);
  } else {
    now_.state = state;
    now_.message = std::move(message);
  }
}

void Readiness::SetWorkers(int32_t joined, int32_t expected, std::vector<Rank> missing) {
  const std::lock_guard lock(mutex_);
  if (Locked()) return;
  now_.workers_joined = joined;
  now_.workers_expected = expected;
  now_.missing_ranks = std::move(missing);
  Progress(now_.state, absl::StrCat(joined, " of ", expected, " workers have joined"));
}

void Readiness::SetLoading(int64_t bytes_done, int64_t bytes_total) {
  const std::lock_guard lock(mutex_);
  if (Locked()) return;
  now_.bytes_done = bytes_done;
  now_.bytes_total = bytes_total;
  now_.missing_ranks.clear();
  Progress(State::kLoading, "the workers are loading the weights");
}

void Readiness::SetReady() {
  const std::lock_guard lock(mutex_);
  if (Locked()) return;
  now_.state = State::kReady;
  now_.bytes_done = now_.bytes_total;
  now_.message.clear();
}

void Readiness::SetSlowRanks(std::vector<SlowRank> slow) {
  const std::lock_guard lock(mutex_);
  now_.slow_ranks = std::move(slow);
}

void Readiness::SetRecovering(std::string why) {
  const std::lock_guard lock(mutex_);
  if (Locked()) return;
  now_.state = State::kRecovering;
  now_.bytes_done = now_.bytes_total = 0;
  now_.slow_ranks.clear();
  lost_ = std::move(why);
  now_.message = lost_;
}

void Readiness::SetFailed(std::string why) {
  const std::lock_guard lock(mutex_);
  if (Locked()) return;
  now_.state = State::kFailed;
  now_.message = std::move(why);
}

void Readiness::SetDraining() { draining_ = true; }

void Readiness::SetStopping() {
  const std::lock_guard lock(mutex_);
  now_.state = State::kStopping;
  now_.message = "the server is stopping";
}

Readiness::Snapshot Readiness::snapshot() const {
  const std::lock_guard lock(mutex_);
  Snapshot snapshot = now_;
  snapshot.draining = draining_;
  return snapshot;
}

const char* Name(Readiness::State state) {
  switch (state) {
    case Readiness::State::kWaitingForWorkers:
      return "waiting_for_workers";
    case Readiness::State::kLoading:
      return "loading";
    case Readiness::State::kReady:
      return "ready";
    case Readiness::State::kRecovering:
      return "recovering";
    case Readiness::State::kFailed:
      return "failed";
    case Readiness::State::kStopping:
      return "stopping";
  }
  return "";
}

std::string ToJson(const Readiness::Snapshot& snapshot) {
  const bool serves = snapshot.state == Readiness::State::kReady;
  const bool ready = serves && !snapshot.draining;
  double fraction = serves ? 1.0 : 0.0;
  if (!serves && snapshot.bytes_total > 0) {
    fraction = std::clamp(
        static_cast<double>(snapshot.bytes_done) / static_cast<double>(snapshot.bytes_total), 0.0, 1.0);
  }
  auto slow_ranks = nlohmann::ordered_json::array();
  for (const Readiness::SlowRank& slow : snapshot.slow_ranks) {
    slow_ranks.push_back(
        {{"rank", slow.rank}, {"host", slow.host}, {"share", std::round(1000 * slow.share) / 1000}});
  }
  return nlohmann::ordered_json{
      {"ready", ready},
      {"state", serves && !ready ? "draining" : Name(snapshot.state)},
      {"workers_joined", snapshot.workers_joined},
      {"workers_expected", snapshot.workers_expected},
      {"missing_ranks", snapshot.missing_ranks},
      {"bytes_done", snapshot.bytes_done},
      {"bytes_total", snapshot.bytes_total},
      {"fraction", fraction},
      {"slow_ranks", std::move(slow_ranks)},
      {"message", serves && !ready ? "the server finishes its streams and then stops" : snapshot.message}}
      .dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace deeprack::coordinator
