// Where a rank keeps its weights as it packed them.
#pragma once

#include <string>

namespace deeprack::worker {

struct PackedOptions {
  std::string folder;  // of packed files on this machine; made when missing. "": none
  // Start only from, or leave behind only, a file that was read whole and found right. Without it, opening
  // one reads and checks its header alone, and one that cannot be written does not stop the rank.
  bool full_check = false;

  bool operator==(const PackedOptions&) const = default;
};

}  // namespace deeprack::worker
