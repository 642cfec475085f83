// One block of memory, mapped at many consecutive addresses: any number of readable bytes that take the
// memory of one block.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "absl/status/statusor.h"
#include "base/mapping.h"

namespace deeprack {

// Read-only. All addresses share the block's memory.
class RepeatedMemory {
 public:
  // Byte i of bytes() is block[i % block.size()]. bytes() holds at least `bytes` bytes, in whole blocks. The
  // size of `block`, which is copied, must be a multiple of the system's page size. Unavailable: the system
  // refused; the message has its reason.
  static absl::StatusOr<RepeatedMemory> Create(std::span<const std::byte> block, int64_t bytes);

  RepeatedMemory() = default;

  std::span<const std::byte> bytes() const { return mapping_.bytes(); }

 private:
  explicit RepeatedMemory(Mapping mapping) : mapping_(std::move(mapping)) {}

  Mapping mapping_;
};

}  // namespace deeprack
