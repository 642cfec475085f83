// A file's bytes, mapped read-only into memory.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "base/mapping.h"

namespace deeprack {

// Holds the size that the file had when it was opened. When the file is truncated later, touching the lost
// bytes ends the process with SIGBUS. So a checkpoint must not change while it is served.
class MappedFile {
 public:
  // Errors: NotFound (no such file); InvalidArgument (not a regular file); PermissionDenied, Unavailable (the
  // system refused; the message has its reason).
  static absl::StatusOr<MappedFile> Open(const std::string& path);

  std::span<const std::byte> bytes() const { return mapping_.bytes(); }

  // Asks the system to start reading `part`, which must lie inside bytes(). Returns at once.
  void Prefetch(std::span<const std::byte> part) const;

 private:
  explicit MappedFile(Mapping mapping) : mapping_(std::move(mapping)) {}

  Mapping mapping_;
};

}  // namespace deeprack
