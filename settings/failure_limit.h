// How many failures of the ranks in a row end serving: the value of --recovery-limit.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace deeprack {

struct FailureLimit {
  int32_t times = 5;   // recoveries in a row that are tried; 0: none
  double minutes = 5;  // after this time of serving, earlier failures are forgotten

  bool operator==(const FailureLimit&) const = default;
};

// "5/2.5" is 5 times, and 2.5 minutes. InvalidArgument: another form, times outside 0 .. 1000, minutes
// outside 0 .. 1440.
absl::StatusOr<FailureLimit> ParseFailureLimit(absl::string_view text);

// The text that ParseFailureLimit reads.
std::string FailureLimitText(const FailureLimit& limit);

}  // namespace deeprack
