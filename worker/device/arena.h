// A rank's memory for one purpose (weights, KV cache, workspace). The arena takes the memory once, hands each
// part out once and gives all memory back at once.
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

// One piece of a device's memory of exactly the given bytes, handed out from front to back. Movable. The
// destructor gives the memory back. Memory is zero until it is written.
class Arena {
 public:
  // ResourceExhausted: the device refused the memory. `purpose` is part of every message.
  static absl::StatusOr<Arena> Create(Device& device, std::string purpose, int64_t bytes);

  // Hands out `memory`, which may hold data already.
  static Arena Over(std::string purpose, Memory memory) {
    return Arena(std::move(purpose), std::move(memory));
  }

  Arena(Arena&&) noexcept = default;
  Arena& operator=(Arena&&) noexcept = default;

  // The next `bytes` bytes, aligned to kArenaAlignment. The arena owns them. ResourceExhausted: more than
  // capacity(); the message has the numbers.
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
