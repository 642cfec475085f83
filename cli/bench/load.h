// Requests at a fixed concurrency, in a closed loop: a stream sends its next request when its last request
// has ended.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/bench/level_summary.h"

namespace deeprack::cli {

struct LoadResult {
  std::vector<RequestTimes> succeeded;
  std::map<std::string, int64_t> failures;  // message -> number of requests that failed with it
  absl::Status first_error;                 // OK when none failed
};

// Runs send(0) .. send(requests - 1) on `concurrency` threads. `send` blocks until its request has ended, and
// is called from all threads at once. A Cancelled error from `send` ends the run and is not a failure.
LoadResult RunLoad(int32_t concurrency, int64_t requests,
                   const std::function<absl::StatusOr<RequestTimes>(int64_t)>& send);

}  // namespace deeprack::cli
