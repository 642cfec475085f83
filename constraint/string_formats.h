// The values of a schema's `format` that answers keep to.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace deeprack::constraint {

struct StringFormat {
  std::string_view name;
  int64_t weight = 0;   // constraint/limits.h; without `pattern`
  std::string pattern;  // not empty: stands for the format. The compiler's dates have days that months lack,
                        // its ipv4 zeros before numbers
};

// Null: an unknown format, which restricts nothing.
const StringFormat* FindStringFormat(std::string_view name);

}  // namespace deeprack::constraint
