// Runs the simulations of many seeds: simulate [SEEDS [FIRST]]. Prints the first seed that fails, and the
// seeds of a second. `simulate 1 SEED` runs one seed again.
#include <spdlog/spdlog.h>

#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>

#include "tests/sim/cluster_simulation.h"
#include "tests/sim/scheduler_simulation.h"

namespace deeprack::coordinator::sim {
namespace {

// Runs `run` for each seed. False: a seed has failed.
template <class Run>
bool RunAll(const char* name, uint64_t seeds, uint64_t first, const Run& run) {
  const auto begin = std::chrono::steady_clock::now();
  for (uint64_t seed = first; seed < first + seeds; ++seed) {
    const absl::Status status = run(seed);
    if (status.ok()) continue;
    std::printf("%s, seed %" PRIu64 ": %s\nrun it again with: simulate 1 %" PRIu64 "\n", name, seed,
                status.ToString().c_str(), seed);
    return false;
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  std::printf("%s: %" PRIu64 " seeds without a fault in %.1f s, %.0f seeds a second\n", name, seeds, seconds,
              static_cast<double>(seeds) / seconds);
  return true;
}

bool Simulate(uint64_t seeds, uint64_t first) {
  RunFigures scheduler;
  ClusterFigures cluster;
  const bool ok = RunAll("scheduler", seeds, first,
                         [&](uint64_t seed) {
                           SchedulerSimulation simulation(seed, OptionsOf(seed));
                           const absl::Status status = simulation.Run();
                           scheduler.Add(simulation.figures());
                           return status;
                         }) &&
                  RunAll("cluster", seeds, first, [&](uint64_t seed) {
                    ClusterSimulation simulation(seed);
                    const absl::Status status = simulation.Run();
                    cluster.Add(simulation.figures());
                    return status;
                  });
  std::printf("scheduler: %" PRId64 " steps, %" PRId64 " losses, %" PRId64 " preemptions, %" PRId64
              " cancelled, %" PRId64 " refused or not finite, %" PRId64 " stale results\n",
              scheduler.steps, scheduler.losses, scheduler.preemptions, scheduler.cancelled, scheduler.faults,
              scheduler.stale_results);
  std::printf("scheduler: %" PRId64 " drafts accepted, %" PRId64 " rejected\n", scheduler.drafts_accepted,
              scheduler.drafts_rejected);
  std::printf("cluster: %" PRId64 " steps, %" PRId64 " requests, %" PRId64 " epochs, %" PRId64
              " coordinators that restarted, %" PRId64 " stale answers\n",
              cluster.steps, cluster.requests, cluster.epochs, cluster.restarts, cluster.stale_results);
  return ok;
}

}  // namespace
}  // namespace deeprack::coordinator::sim

int main(int argc, char** argv) {
  spdlog::set_level(spdlog::level::off);
  const uint64_t seeds = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 10'000;
  const uint64_t first = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  return deeprack::coordinator::sim::Simulate(seeds, first) ? 0 : 1;
}
