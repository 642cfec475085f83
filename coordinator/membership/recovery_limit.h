// Decides whether the cluster tries another epoch. If ranks are lost again and again soon after serving
// began, the ranks have a fault, and serving ends. Pure.
#pragma once

#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace deeprack::coordinator {

class RecoveryLimit {
 public:
  static constexpr int kMostInARow = 5;
  // After this time of serving, earlier failures are forgotten.
  static constexpr absl::Duration kLongEnough = absl::Minutes(5);

  void ServingBegan(absl::Time now) { serving_since_ = now; }

  // An epoch is over, or never served. Returns Unavailable, with `why`, when more than kMostInARow epochs in
  // a row ended within kLongEnough.
  absl::Status EpochEnded(absl::Time now, const absl::Status& why);

 private:
  std::optional<absl::Time> serving_since_;
  int in_a_row_ = 0;
};

}  // namespace deeprack::coordinator
