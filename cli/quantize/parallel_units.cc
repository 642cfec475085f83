#include "cli/quantize/parallel_units.h"

#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

#include "base/check.h"

namespace deeprack::cli {

absl::Status ForUnits(size_t units, int threads, const std::function<UnitWork()>& make_work) {
  DR_CHECK(threads > 0);
  std::atomic<size_t> next = 0;
  std::atomic<bool> failed = false;
  std::mutex mutex;
  absl::Status first_error;
  const auto take_units = [&] {
    const UnitWork work = make_work();
    for (size_t unit = next++; unit < units && !failed; unit = next++) {
      const absl::Status status = work(unit);
      if (status.ok()) continue;
      const std::lock_guard lock(mutex);
      if (!failed.exchange(true)) first_error = status;
    }
  };
  std::vector<std::thread> workers;
  for (int i = 0; i < threads; ++i) workers.emplace_back(take_units);
  for (std::thread& worker : workers) worker.join();
  return first_error;
}

}  // namespace deeprack::cli
