// How names and shapes from files stand in error messages.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace deeprack {

// The name in quotes, escaped and shortened to one readable line, whatever the file held.
std::string QuotedName(std::string_view name);

std::string ShapeText(std::span<const int64_t> shape);  // "[7168, 2048]"

}  // namespace deeprack
