#include "tests/source_tree.h"

namespace deeprack {

std::string InSourceTree(std::string_view path) { return std::string(DEEPRACK_SOURCE_DIR "/").append(path); }

}  // namespace deeprack
