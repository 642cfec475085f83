#include "worker/device/host_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/control_group.h"
#include "base/fnv.h"

namespace deeprack::worker {

absl::StatusOr<Memory> MapHostMemory(const std::string& purpose, int64_t bytes) {
  if (bytes < 0)
    return absl::InvalidArgumentError(
        absl::StrCat(purpose, ": ", bytes, " bytes were requested; the number must not be negative"));
  if (bytes == 0) return Memory();
  void* base = mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) {
    const int error = errno;  // AvailableHostBytes changes errno
    return absl::ResourceExhaustedError(absl::StrCat(purpose, ": the system refused ", bytes, " bytes (",
                                                     std::strerror(error), "); ", AvailableHostBytes(),
                                                     " bytes are available"));
  }
  // Kernels read weights and cache in long runs; huge pages save TLB misses. If the system gives no huge
  // pages, LogHugePages reports that once the memory is in use.
  madvise(base, static_cast<size_t>(bytes), MADV_HUGEPAGE);
  return Memory(static_cast<std::byte*>(base), bytes,
                [](std::byte* data, int64_t size) { munmap(data, static_cast<size_t>(size)); });
}

int64_t AvailableHostBytes(const std::string& root) { return AvailableMemory(root).value_or(0); }

uint64_t HostIdentity() {
  char name[256] = {};
  if (gethostname(name, sizeof(name) - 1) != 0) return 0;
  return Fnv1a(name);
}

}  // namespace deeprack::worker
