// Sizes in bytes as people write them: 64M, 139G.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace deeprack {

// "80G", "512M" or "1000000" as bytes. K, M, G and T are powers of 1024. InvalidArgument: any other text, or
// fewer than `least` bytes.
absl::StatusOr<int64_t> ParseSize(absl::string_view text, int64_t least);

// The shortest text that ParseSize reads as `bytes`: "64M", "1000000".
std::string SizeText(int64_t bytes);

}  // namespace deeprack
