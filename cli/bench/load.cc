#include "cli/bench/load.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>

namespace deeprack::cli {

LoadResult RunLoad(int32_t concurrency, int64_t requests,
                   const std::function<absl::StatusOr<RequestTimes>(int64_t)>& send) {
  LoadResult result;
  std::mutex result_mutex;
  std::atomic<int64_t> next = 0;
  std::atomic<bool> cancelled = false;
  const auto stream = [&] {
    for (int64_t request = next++; request < requests && !cancelled; request = next++) {
      const absl::StatusOr<RequestTimes> times = send(request);
      const std::lock_guard lock(result_mutex);
      if (times.ok()) {
        result.succeeded.push_back(*times);
      } else if (absl::IsCancelled(times.status())) {
        cancelled = true;
      } else {
        ++result.failures[std::string(times.status().message())];
        result.first_error.Update(times.status());
      }
    }
  };
  std::vector<std::thread> threads;
  for (int64_t i = 0; i < std::min<int64_t>(concurrency, requests); ++i) threads.emplace_back(stream);
  for (std::thread& thread : threads) thread.join();
  return result;
}

}  // namespace deeprack::cli
