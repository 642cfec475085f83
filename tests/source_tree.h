// Finds files of the source tree: the demo model, goldens, scripts.
#pragma once

#include <string>
#include <string_view>

namespace deeprack {

// The absolute path of a file or folder. `path` is relative to the top of the source tree.
std::string InSourceTree(std::string_view path);

}  // namespace deeprack
