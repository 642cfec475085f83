#include "worker/device/arena.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/checked.h"

namespace deeprack::worker {

absl::StatusOr<Arena> Arena::Create(std::string purpose, int64_t bytes) {
  if (bytes < 0) return absl::InvalidArgumentError(absl::StrCat(purpose, ": ", bytes, " bytes asked for"));
  if (bytes == 0) return Arena(std::move(purpose), nullptr, 0);
  // Lazy: a page costs memory when it is first written.
  void* base = mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) {
    return absl::ResourceExhaustedError(absl::StrCat(purpose, ": the system refused ", bytes, " bytes (",
                                                     std::strerror(errno), "); ", AvailableHostBytes(),
                                                     " bytes are available"));
  }
  // Weights and cache are read in long runs; huge pages save TLB misses. Best effort: not every kernel has
  // them.
  madvise(base, static_cast<size_t>(bytes), MADV_HUGEPAGE);
  return Arena(std::move(purpose), static_cast<std::byte*>(base), bytes);
}

Arena::Arena(std::string purpose, std::byte* base, int64_t capacity)
    : purpose_(std::move(purpose)), base_(base), capacity_(capacity) {}

Arena::Arena(Arena&& other) noexcept { *this = std::move(other); }

Arena& Arena::operator=(Arena&& other) noexcept {
  if (this == &other) return *this;
  Release();
  purpose_ = std::move(other.purpose_);
  base_ = std::exchange(other.base_, nullptr);
  capacity_ = std::exchange(other.capacity_, 0);
  used_ = std::exchange(other.used_, 0);
  return *this;
}

Arena::~Arena() { Release(); }

void Arena::Release() {
  if (base_ != nullptr) munmap(base_, static_cast<size_t>(capacity_));
  base_ = nullptr;
}

absl::StatusOr<std::byte*> Arena::Allocate(int64_t bytes) {
  if (bytes < 0 || bytes > capacity_ - used_ || RoundUp(bytes, kArenaAlignment) > capacity_ - used_) {
    return absl::ResourceExhaustedError(absl::StrCat(purpose_, ": ", bytes, " bytes asked for, but ", used_,
                                                     " of the ", capacity_, " budgeted bytes are in use"));
  }
  std::byte* result = base_ + used_;
  used_ += RoundUp(bytes, kArenaAlignment);
  return result;
}

int64_t AvailableHostBytes() {
  std::ifstream meminfo("/proc/meminfo");
  std::string key;
  int64_t kibibytes = 0;
  std::string unit;
  while (meminfo >> key >> kibibytes) {
    if (key == "MemAvailable:") return kibibytes * 1024;
    std::getline(meminfo, unit);
  }
  return 0;
}

}  // namespace deeprack::worker
