// The processors of a machine by NUMA node. A plain value, independent of its source.
#pragma once

#include <vector>

namespace deeprack::worker {

struct NumaNode {
  int number = 0;                       // the system's number of the node
  std::vector<std::vector<int>> cores;  // the system's numbers of each core's processors
};

struct Machine {
  std::vector<NumaNode> nodes;  // nodes with processors; at least one
};

}  // namespace deeprack::worker
