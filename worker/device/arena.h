// A rank's memory for one purpose (weights, KV cache, workspace): taken once, handed out once, never returned
// piecewise.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace deeprack::worker {

// Every allocation begins on such a boundary and is rounded up to it, so that sizes add up to the budget's.
inline constexpr int64_t kArenaAlignment = 64;

// One mapping of host memory of exactly the budgeted size, cut from front to back. Movable; frees the mapping
// at the end. Pages are zero until first written.
class Arena {
 public:
  // ResourceExhausted when the system refuses the memory; `purpose` stands in every message.
  static absl::StatusOr<Arena> Create(std::string purpose, int64_t bytes);

  Arena(Arena&& other) noexcept;
  Arena& operator=(Arena&& other) noexcept;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena();

  // The next `bytes`, aligned. ResourceExhausted beyond the budget, with the numbers. Owned by the arena.
  absl::StatusOr<std::byte*> Allocate(int64_t bytes);

  int64_t used() const { return used_; }
  int64_t capacity() const { return capacity_; }

 private:
  Arena(std::string purpose, std::byte* base, int64_t capacity);
  void Release();

  std::string purpose_;
  std::byte* base_ = nullptr;
  int64_t capacity_ = 0;
  int64_t used_ = 0;
};

// Memory that the host can give without swapping (MemAvailable of /proc/meminfo), in bytes; 0 when unknown.
int64_t AvailableHostBytes();

}  // namespace deeprack::worker
