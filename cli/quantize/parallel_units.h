// Runs independent units of work on several threads.
#pragma once

#include <cstddef>
#include <functional>

#include "absl/status/status.h"

namespace deeprack::cli {

using UnitWork = std::function<absl::Status(size_t unit)>;

// Calls work(unit) once for each unit in [0, units), in order as threads become free. Each thread has its own
// `make_work()`, which may keep buffers between units. The first error ends all threads and is returned.
absl::Status ForUnits(size_t units, int threads, const std::function<UnitWork()>& make_work);

}  // namespace deeprack::cli
