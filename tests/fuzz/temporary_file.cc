#include "tests/fuzz/temporary_file.h"

#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"

namespace deeprack {

TemporaryFile::TemporaryFile(const uint8_t* data, size_t size) : descriptor_(memfd_create("fuzz", 0)) {
  DR_CHECK(descriptor_ >= 0);
  DR_CHECK(size == 0 || write(descriptor_, data, size) == static_cast<ssize_t>(size));
}

TemporaryFile::~TemporaryFile() { close(descriptor_); }

std::string TemporaryFile::path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

}  // namespace deeprack
