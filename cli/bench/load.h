// Requests at a fixed concurrency: as many streams as asked for, each sending its next request when its last
// one has ended (a closed loop).
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
  std::map<std::string, int64_t> failures;  // by message: how many
  absl::Status first_error;                 // OK when none failed
};

// Runs send(0) .. send(requests - 1) on `concurrency` threads. `send` blocks until its request has ended, and
// is called from all of them at once. A Cancelled error ends the run: no request is begun after it, and it is
// not counted as a failure.
LoadResult RunLoad(int32_t concurrency, int64_t requests,
                   const std::function<absl::StatusOr<RequestTimes>(int64_t)>& send);

}  // namespace deeprack::cli
