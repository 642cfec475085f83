// A block of memory at many consecutive addresses: any number of bytes for the room of one block.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "absl/status/statusor.h"
#include "base/mapping.h"

namespace deeprack {

// Read-only, and shared by all its addresses.
class RepeatedMemory {
 public:
  // Byte i is block[i % size] for i below `bytes`. The block's size is a multiple of the system's page.
  // Unavailable: the system refused, with its reason.
  static absl::StatusOr<RepeatedMemory> Create(std::span<const std::byte> block, int64_t bytes);

  RepeatedMemory() = default;

  std::span<const std::byte> bytes() const { return mapping_.bytes(); }  // whole blocks

 private:
  explicit RepeatedMemory(Mapping mapping) : mapping_(std::move(mapping)) {}

  Mapping mapping_;
};

}  // namespace deeprack
