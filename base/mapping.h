// Owners of mapped memory and of open files. Destructors unmap and close.
#pragma once

#include <cstddef>
#include <span>

namespace deeprack {

// Owns bytes that mmap returned; unmaps them when destroyed. Moving moves the ownership.
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

// Owns an open file; closes it when destroyed. fd < 0: no file. A mapping of the file stays valid after the
// close.
struct Descriptor {
  const int fd;
  explicit Descriptor(int open_file) : fd(open_file) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor();
};

}  // namespace deeprack
