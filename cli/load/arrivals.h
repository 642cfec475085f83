// When requests arrive in an open loop. Pure.
#pragma once

#include <cstdint>
#include <vector>

namespace deeprack::cli {

// The seconds from the start of a level to each of `count` arrivals; the first is 0. Gaps are drawn from a
// gamma distribution with the mean 1 / rate and the shape `burstiness`. 1: a Poisson process. Below 1:
// bursts. Above 1: more even. `rate` (arrivals a second) and `burstiness` are positive.
std::vector<double> ArrivalTimes(double rate, double burstiness, int64_t count, uint64_t seed);

}  // namespace deeprack::cli
