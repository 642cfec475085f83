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

// A number made of the host name: the same in all processes with one name. A container has a name of its own
// and a memory limit of its own, so its ranks are not counted together with those of other containers.
uint64_t HostIdentity();

}  // namespace deeprack::worker
