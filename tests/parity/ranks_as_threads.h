// Runs every rank of a placement as a thread.
#pragma once

#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "tests/parity/golden.h"
#include "tests/parity/layouts.h"
#include "tests/parity/serve_golden.h"
#include "worker/collectives/local/local_world.h"

namespace deeprack::parity {

// run(options, world) is called on each rank's thread, with the rank's options and its member of a local
// world. Entry r of the result is what it returned for rank r.
template <class Report, class Run>
std::vector<Report> OnEveryRank(const Golden& golden, const Placement& placement, DType compute,
                                const Run& run) {
  const int ranks = placement.layout.world_size();
  const auto world = worker::MakeLocalWorld(ranks, absl::Minutes(2));
  std::vector<Report> reports(static_cast<size_t>(ranks));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      const auto r = static_cast<size_t>(rank);
      worker::EngineOptions options =
          GoldenOptions(golden, placement.layout, compute, placement.exchange, placement.prefill);
      options.rank = rank;
      reports[r] = run(options, world[r].get());
    });
  }
  for (std::thread& thread : threads) thread.join();
  return reports;
}

}  // namespace deeprack::parity
