#include "base/mapping.h"

#include <sys/mman.h>
#include <unistd.h>

#include <utility>

namespace deeprack {

Mapping::Mapping(Mapping&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  return *this;
}

Mapping::~Mapping() {
  if (!bytes_.empty()) munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

Descriptor::~Descriptor() {
  if (fd >= 0) close(fd);
}

}  // namespace deeprack
