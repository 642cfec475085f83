// What the system mapped into memory, and the files it was mapped from: given back at the end of a scope.
#pragma once

#include <cstddef>
#include <span>

namespace deeprack {

// Bytes that mmap gave out, and nobody else owns.
class Mapping {
 public:
  Mapping() = default;
  explicit Mapping(std::span<const std::byte> bytes) : bytes_(bytes) {}
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  ~Mapping();

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::span<const std::byte> bytes_;
};

// An open file, or none (below 0); a mapping outlives it.
struct Descriptor {
  const int fd;
  explicit Descriptor(int open_file) : fd(open_file) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor();
};

}  // namespace deeprack
