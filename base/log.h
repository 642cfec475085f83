// The log of all three programs: lines of time, level, program and rank, message, written to standard error.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace deeprack {

// Sets up spdlog's default logger. `who` names the process in every line ("coordinator", "worker 3"). `level`
// is trace, debug, info, warn, error or off. InvalidArgument for any other level; the message lists the
// levels.
absl::Status InitLog(const std::string& who, const std::string& level);

}  // namespace deeprack
