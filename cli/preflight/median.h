// Medians of measurements.
#pragma once

#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace deeprack::cli {

// Of an even number of values, the upper or the lower one of the two middle values. 0: no values.
double UpperMedian(std::vector<double> values);
double LowerMedian(std::vector<double> values);

// The median of the seconds that `trip` takes. Calls `trip` at least once, until it was called `most` times
// or `time` has passed. Errors: those of `trip`.
absl::StatusOr<double> MedianRoundTrip(size_t most, absl::Duration time,
                                       const std::function<absl::Status()>& trip);

}  // namespace deeprack::cli
