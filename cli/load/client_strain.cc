#include "cli/load/client_strain.h"

#include "absl/strings/str_format.h"

namespace deeprack::cli {

std::string WhyClientWasTheBottleneck(const ClientStrain& strain) {
  if (strain.busiest_thread > kMostThreadShare) {
    return absl::StrFormat(
        "the client was the bottleneck: one of its threads computed %.0f%% of the time (limit %.0f%%). Give "
        "it "
        "more threads (--client-threads) or run several clients.",
        strain.busiest_thread * 100, kMostThreadShare * 100);
  }
  const bool sends = strain.send_delay_p99 >= strain.loop_delay_p99;
  const double delay = sends ? strain.send_delay_p99 : strain.loop_delay_p99;
  if (delay > kMostDelay) {
    return absl::StrFormat(
        "the client was the bottleneck: %s %.1f ms late (99th percentile, limit %.0f ms), so its figures "
        "hold "
        "its own delay. %.0f%% of the machine's processor time was in use; run the client on another "
        "machine.",
        sends ? "its requests were sent" : "its clock ticked", delay * 1e3, kMostDelay * 1e3,
        strain.machine * 100);
  }
  return "";
}

}  // namespace deeprack::cli
