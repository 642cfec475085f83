// A machine's processors and which memory is near them: a value, whatever it was read from.
#pragma once

#include <vector>

namespace deeprack::worker {

struct NumaNode {
  int number = 0;                       // the system's
  std::vector<std::vector<int>> cores;  // each core's processors, by the system's numbers
};

struct Machine {
  std::vector<NumaNode> nodes;  // those that have processors; at least one
};

}  // namespace deeprack::worker
