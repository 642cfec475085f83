// Memory of the machine that this process runs on.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "worker/device/memory.h"

namespace deeprack::worker {

// Maps new memory, aligned to pages and zero. A page takes memory only after it has been written.
// ResourceExhausted, with `purpose`: the system refused.
absl::StatusOr<Memory> MapHostMemory(const std::string& purpose, int64_t bytes);

// base/control_group.h's AvailableMemory in bytes. 0: unknown.
int64_t AvailableHostBytes(const std::string& root = "");

// A number that identifies this machine; the same in all processes of the machine.
uint64_t HostIdentity();

}  // namespace deeprack::worker
