// Where a rank keeps its packed weights.
#pragma once

#include <string>

namespace deeprack::worker {

struct PackedOptions {
  std::string folder;  // of packed files on this machine, made if missing; "": no packed files
  // True: a file is read whole and checked before it is used and after it is written, and a file that cannot
  // be written is an error. False: only the header is read and checked, and the rank starts without a file if
  // none can be written.
  bool full_check = false;

  bool operator==(const PackedOptions&) const = default;
};

}  // namespace deeprack::worker
