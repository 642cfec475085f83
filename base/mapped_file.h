// A file's bytes, read-only, mapped into memory.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "base/mapping.h"

namespace deeprack {

// The size is taken when the file is opened. A file that is truncated afterwards ends the process with SIGBUS
// on the first touch of what is gone: a checkpoint must not change while it is served.
class MappedFile {
 public:
  // NotFound: no such file. InvalidArgument: not a regular file. Unavailable: the system refused, with its
  // reason.
  static absl::StatusOr<MappedFile> Open(const std::string& path);

  std::span<const std::byte> bytes() const { return mapping_.bytes(); }

  // Asks the system to start reading these bytes, which lie inside bytes(). Returns at once.
  void Prefetch(std::span<const std::byte> part) const;

 private:
  explicit MappedFile(Mapping mapping) : mapping_(std::move(mapping)) {}

  Mapping mapping_;
};

}  // namespace deeprack
