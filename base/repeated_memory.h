// A block of memory at many consecutive addresses: any number of bytes for the room of one block.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/statusor.h"

namespace deeprack {

// Read-only, and shared by all its addresses.
class RepeatedMemory {
 public:
  // Byte i is block[i % size] for i below `bytes`. The block's size is a multiple of the system's page.
  // Unavailable: the system refused, with its reason.
  static absl::StatusOr<RepeatedMemory> Create(std::span<const std::byte> block, int64_t bytes);

  RepeatedMemory() = default;
  RepeatedMemory(RepeatedMemory&& other) noexcept;
  RepeatedMemory& operator=(RepeatedMemory&& other) noexcept;
  ~RepeatedMemory();

  std::span<const std::byte> bytes() const { return bytes_; }  // whole blocks

 private:
  explicit RepeatedMemory(std::span<const std::byte> bytes) : bytes_(bytes) {}

  std::span<const std::byte> bytes_;
};

}  // namespace deeprack
