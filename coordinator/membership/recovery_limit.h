// Whether another epoch is worth a try. Ranks that are lost again and again as soon as they serve are no
// accident but a fault, which ends serving. Pure.
#pragma once

#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace deeprack::coordinator {

class RecoveryLimit {
 public:
  static constexpr int kMostInARow = 5;
  static constexpr absl::Duration kLongEnough = absl::Minutes(5);  // of serving: what follows is a new story

  void ServingBegan(absl::Time now) { serving_since_ = now; }

  // An epoch is over, or did not come to serve. Not OK when it is one too many: Unavailable, with `why`.
  absl::Status EpochEnded(absl::Time now, const absl::Status& why);

 private:
  std::optional<absl::Time> serving_since_;
  int in_a_row_ = 0;
};

}  // namespace deeprack::coordinator
