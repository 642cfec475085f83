#include "base/repeated_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/checked.h"

namespace deeprack {
namespace {

absl::Status SystemError(const char* action) {
  const int error = errno;
  return absl::UnavailableError(absl::StrCat("cannot ", action, ": ", std::strerror(error)));
}

}  // namespace

absl::StatusOr<RepeatedMemory> RepeatedMemory::Create(std::span<const std::byte> block, int64_t bytes) {
  const int64_t size = std::ssize(block);
  DR_CHECK(size > 0 && bytes > 0 && size % sysconf(_SC_PAGESIZE) == 0);
  const Descriptor file{memfd_create("repeated", MFD_CLOEXEC)};
  if (file.fd < 0) return SystemError("make a file in memory");
  for (int64_t written = 0; written < size;) {
    const ssize_t n = write(file.fd, block.data() + written, static_cast<size_t>(size - written));
    if (n < 0 && errno != EINTR) return SystemError("write to a file in memory");
    if (n > 0) written += n;
  }
  const int64_t total = RoundUp(bytes, size);
  void* const base = mmap(nullptr, static_cast<size_t>(total), PROT_NONE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) return SystemError("reserve addresses");
  RepeatedMemory memory(Mapping({static_cast<const std::byte*>(base), static_cast<size_t>(total)}));
  for (int64_t begin = 0; begin < total; begin += size) {
    void* const at = static_cast<std::byte*>(base) + begin;
    if (mmap(at, static_cast<size_t>(size), PROT_READ, MAP_SHARED | MAP_FIXED, file.fd, 0) == MAP_FAILED) {
      return SystemError("map a file in memory again (raise the sysctl vm.max_map_count if it is too low)");
    }
  }
  return memory;
}

}  // namespace deeprack
