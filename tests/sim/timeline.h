// Simulated time: what happens when, in one order.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <utility>

#include "absl/time/time.h"
#include "base/clock.h"

namespace deeprack::coordinator::sim {

class Timeline {
 public:
  Clock* clock() { return &clock_; }
  absl::Time now() { return clock_.Now(); }

  // Events of the same time happen in the order of these calls.
  void After(absl::Duration delay, std::function<void()> event) { At(now() + delay, std::move(event)); }
  void At(absl::Time time, std::function<void()> event) {
    events_.emplace(std::pair(time, next_++), std::move(event));
  }

  // Advances the clock to the next event and runs it. False: there is none.
  bool RunNext() {
    if (events_.empty()) return false;
    auto next = events_.extract(events_.begin());
    if (next.key().first > now()) clock_.Advance(next.key().first - now());
    next.mapped()();
    return true;
  }

 private:
  ManualClock clock_;
  std::map<std::pair<absl::Time, uint64_t>, std::function<void()>> events_;
  uint64_t next_ = 0;
};

}  // namespace deeprack::coordinator::sim
