// The address of this machine at which a worker meets other ranks.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace deeprack::worker {

// The host of `listen` (as in WorkerNodeOptions), unless that is every interface or empty. Then the address
// of this machine from which `coordinator` (host:port) is reached. Sends nothing. Errors: InvalidArgument (no
// address), Unavailable (the coordinator's name is unknown, or no route leads to it).
absl::StatusOr<std::string> MeetingHost(const std::string& listen, const std::string& coordinator);

}  // namespace deeprack::worker
