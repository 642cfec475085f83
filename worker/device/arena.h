// A rank's memory for one purpose (weights, KV cache, workspace): taken once, handed out once, never returned
// piecewise.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "sizing/alignment.h"
#include "worker/device/device.h"

namespace deeprack::worker {

using sizing::kArenaAlignment;

// One run of a device's memory of exactly the budgeted size, cut from front to back. Movable; gives the
// memory back at the end. Zero until first written.
class Arena {
 public:
  // ResourceExhausted when the device refuses the memory; `purpose` stands in every message.
  static absl::StatusOr<Arena> Create(Device& device, std::string purpose, int64_t bytes);

  // Cuts up memory that holds its contents already.
  static Arena Over(std::string purpose, Memory memory) {
    return Arena(std::move(purpose), std::move(memory));
  }

  Arena(Arena&&) noexcept = default;
  Arena& operator=(Arena&&) noexcept = default;

  // The next `bytes`, aligned. ResourceExhausted beyond the budget, with the numbers. Owned by the arena.
  absl::StatusOr<std::byte*> Allocate(int64_t bytes);

  std::byte* data() const { return memory_.data(); }
  int64_t used() const { return used_; }
  int64_t capacity() const { return memory_.bytes(); }

 private:
  Arena(std::string purpose, Memory memory);

  std::string purpose_;
  Memory memory_;
  int64_t used_ = 0;
};

}  // namespace deeprack::worker
