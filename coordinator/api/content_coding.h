// Bodies that a client has compressed.
#pragma once

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace deeprack::coordinator {

// The most bytes that `bytes` of gzip can become: deflate codes 1032 bytes in one at best.
inline constexpr size_t kMostGzipRatio = 1032;

// Expands gzip: one member or several. Errors: ResourceExhausted if the result has more than `max_bytes`
// bytes, InvalidArgument if `compressed` is not gzip, is cut, or has bytes behind its end.
absl::StatusOr<std::string> Gunzip(absl::string_view compressed, size_t max_bytes);

}  // namespace deeprack::coordinator
