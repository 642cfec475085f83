// The time as a parameter. A class that needs the time is given a Clock, so that a test or a simulation
// decides what time it is.
#pragma once

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace deeprack {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual absl::Time Now() = 0;
};

class SystemClock final : public Clock {
 public:
  absl::Time Now() override { return absl::Now(); }
};

// Now() changes only by Advance().
class ManualClock final : public Clock {
 public:
  explicit ManualClock(absl::Time start = absl::UnixEpoch()) : now_(start) {}
  absl::Time Now() override { return now_; }
  void Advance(absl::Duration by) { now_ += by; }

 private:
  absl::Time now_;
};

}  // namespace deeprack
