// How names and shapes from files stand in error messages.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace deeprack::checkpoint {

// The name in quotes, escaped and shortened to one readable line, whatever the file held.
std::string QuotedName(const std::string& name);

std::string ShapeText(std::span<const int64_t> shape);  // "[7168, 2048]"

}  // namespace deeprack::checkpoint
