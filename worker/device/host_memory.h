// The memory of the machine that this process runs on.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "worker/device/memory.h"

namespace deeprack::worker {

// A mapping of its own, page-aligned; pages are zero, and cost memory only once they are written.
// ResourceExhausted when the system refuses; `purpose` stands in the message.
absl::StatusOr<Memory> MapHostMemory(const std::string& purpose, int64_t bytes);

// Memory that the host can give without swapping (MemAvailable of /proc/meminfo), in bytes; 0 when unknown.
int64_t AvailableHostBytes();

// A number for this machine, the same in all its processes.
uint64_t HostIdentity();

}  // namespace deeprack::worker
