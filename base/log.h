// One log line format for the three programs: time, level, program and rank, message; to standard error.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace deeprack {

// Sets up spdlog's default logger. `who` stands in every line ("coordinator", "worker 3").
// `level` is trace, debug, info, warn, error or off; anything else is an error naming these.
absl::Status InitLog(const std::string& who, const std::string& level);

}  // namespace deeprack
