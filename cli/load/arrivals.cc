#include "cli/load/arrivals.h"

#include "cli/load/draws.h"

namespace deeprack::cli {

std::vector<double> ArrivalTimes(double rate, double burstiness, int64_t count, uint64_t seed) {
  Draws draws(seed);
  std::vector<double> times;
  times.reserve(static_cast<size_t>(count));
  double now = 0;
  for (int64_t i = 0; i < count; ++i) {
    times.push_back(now);
    now += draws.Gamma(burstiness) / (rate * burstiness);
  }
  return times;
}

}  // namespace deeprack::cli
