// What the control groups (cgroup v2) and the affinity mask of this process leave it of the machine: a
// container's limits.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace deeprack {

struct ControlGroup {
  // Of cpu.max: processor seconds in each second. nullopt: no limit.
  std::optional<double> processors;
  // Of memory.max: bytes that this process may still take. Pages of files that the system can drop count as
  // free. At least 0. nullopt: no limit.
  std::optional<int64_t> free_bytes;
};

// Reads the group of this process and the groups above it; the least limit counts. Files that are missing or
// cannot be read limit nothing. `root` is the folder with proc and sys; "" is the machine's.
ControlGroup ReadControlGroup(const std::string& root = "");

// Bytes that the machine can give without swapping (MemAvailable in /proc/meminfo), within the limit of the
// group. nullopt: unknown. `root`: as above.
std::optional<int64_t> AvailableMemory(const std::string& root = "");

// The number of processors for which a program should start threads: `allowed` (those of the affinity mask),
// or the whole processors of the group if there are fewer. At least 1.
int UsableProcessors(int allowed, const ControlGroup& group);

// The processors in this process's affinity mask, ascending. Empty: the mask cannot be read.
std::vector<int> AllowedProcessors();

// The number of processors in this process's affinity mask. At least 1.
int AllowedProcessorCount();

}  // namespace deeprack
