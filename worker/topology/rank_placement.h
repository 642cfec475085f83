// Where a machine's ranks compute and where their memory lies. A pure function: every rank comes to the same
// division by itself.
//
// A processor reads memory of its own NUMA node faster than another's, and decoding is reading weights. So
// each rank gets one node where the ranks' number allows it, else an equal run of neighbouring cores; a rank
// that spans nodes has its memory interleaved over them, which evens out the reads.
#pragma once

#include <string>
#include <vector>

#include "worker/topology/machine.h"

namespace deeprack::worker {

struct PlacementRequest {
  std::vector<int> allowed;  // processors that the process may run on (its affinity), ascending
  int local_rank = 0;        // of local_ranks on this machine
  int local_ranks = 1;
  int threads = 1;  // of each of them
};

struct RankPlacement {
  // Nodes that the rank's memory goes to: one to bind it to, several to interleave it over. Empty on a
  // machine of one node: nothing to choose.
  std::vector<int> nodes;
  // Processors that all of the rank's threads stay on, ascending: those allowed of its nodes. Empty as above.
  std::vector<int> confined_to;
  // One for each thread, disjoint from other ranks'; empty: there are too few for all ranks' threads, or
  // whatever started the ranks has bound each to its own.
  std::vector<int> processors;
};

// local_rank < local_ranks, threads >= 1.
RankPlacement PlaceRank(const Machine& machine, const PlacementRequest& request);

// For the log, one line.
std::string Describe(const RankPlacement& placement, const PlacementRequest& request);

// Numbers for people: "0-3, 8"; `numbers` ascending.
std::string Ranges(const std::vector<int>& numbers);

}  // namespace deeprack::worker
