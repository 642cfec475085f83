// Decides whether the cluster tries another epoch. If ranks are lost again and again soon after serving
// began, the ranks have a fault, and serving ends. Pure.
#pragma once

#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace deeprack::coordinator {

class RecoveryLimit {
 public:
  // Recovers at most `most_in_a_row` times in a row. After `long_enough` of serving, earlier failures are
  // forgotten. These are the two numbers of --recovery-limit.
  RecoveryLimit(int most_in_a_row, absl::Duration long_enough)
      : most_in_a_row_(most_in_a_row), long_enough_(long_enough) {}

  void ServingBegan(absl::Time now) { serving_since_ = now; }

  // True when the epoch that serves has served long enough for earlier failures to be forgotten.
  bool ServedLongEnough(absl::Time now) const {
    return serving_since_ && now - *serving_since_ >= long_enough_;
  }

  // An epoch is over, or never served. Returns Unavailable, with `why`, when more than most_in_a_row epochs
  // in a row ended within long_enough.
  absl::Status EpochEnded(absl::Time now, const absl::Status& why);
  // The cluster ends an epoch whose ranks are well, for a better one. This is no failure.
  void EpochGivenUp(absl::Time now);

 private:
  const int most_in_a_row_;
  const absl::Duration long_enough_;
  std::optional<absl::Time> serving_since_;
  int in_a_row_ = 0;
};

}  // namespace deeprack::coordinator
