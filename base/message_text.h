// Text of names and shapes from files, for error messages.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace deeprack {

// The name in quotes, on one line of readable characters: other bytes are escaped, and bytes after the first
// 120 are replaced by "...".
std::string QuotedName(std::string_view name);

std::string ShapeText(std::span<const int64_t> shape);  // "[7168, 2048]"

}  // namespace deeprack
