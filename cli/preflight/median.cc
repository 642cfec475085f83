#include "cli/preflight/median.h"

#include <algorithm>

#include "absl/time/clock.h"
#include "base/status_macros.h"

namespace deeprack::cli {
namespace {

// The value that has `place` values before it in rising order.
double ValueAt(std::vector<double> values, size_t place) {
  const auto at = values.begin() + static_cast<ptrdiff_t>(place);
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

}  // namespace

double UpperMedian(std::vector<double> values) {
  const size_t size = values.size();
  return size == 0 ? 0 : ValueAt(std::move(values), size / 2);
}

double LowerMedian(std::vector<double> values) {
  const size_t size = values.size();
  return size == 0 ? 0 : ValueAt(std::move(values), (size - 1) / 2);
}

absl::StatusOr<double> MedianRoundTrip(size_t most, absl::Duration time,
                                       const std::function<absl::Status()>& trip) {
  std::vector<double> seconds;
  const absl::Time end = absl::Now() + time;
  do {
    const absl::Time begin = absl::Now();
    DR_RETURN_IF_ERROR(trip());
    seconds.push_back(absl::ToDoubleSeconds(absl::Now() - begin));
  } while (seconds.size() < most && absl::Now() < end);
  return UpperMedian(std::move(seconds));
}

}  // namespace deeprack::cli
