// Whether the load test's own client was too slow for its figures to be the server's. Pure.
#pragma once

#include <string>

namespace deeprack::cli {

// What the client measures of itself during a level.
struct ClientStrain {
  double busiest_thread = 0;  // the share of the time in which the busiest network thread computed
  double cores = 0;           // processor time of the whole client over the time of the level
  double loop_delay_p99 = 0;  // seconds that a network thread's clock tick came too late, 99th percentile
  double send_delay_p99 = 0;  // seconds from the planned to the real sending of a request, 99th percentile
  double machine = 0;         // the share of the machine's processor time that was in use, by all programs
};

inline constexpr double kMostThreadShare = 0.8;
inline constexpr double kMostDelay = 0.010;  // seconds

// "" when the client kept up. Otherwise a sentence that says by which figure the client was the bottleneck,
// and what to do.
std::string WhyClientWasTheBottleneck(const ClientStrain& strain);

}  // namespace deeprack::cli
