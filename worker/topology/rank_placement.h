// Divides a machine's processors and memory among its ranks. A pure function: every rank computes the same
// division by itself.
//
// A processor reads memory of its own NUMA node faster than memory of other nodes, and decoding mostly reads
// weights. If the number of ranks allows it, each rank gets one node or several whole nodes; otherwise an
// equal number of neighbouring cores. A rank on several nodes has its memory interleaved over them, which
// balances the reads.
#pragma once

#include <string>
#include <vector>

#include "worker/topology/machine.h"

namespace deeprack::worker {

struct PlacementRequest {
  std::vector<int> allowed;  // processors that the process may run on (its affinity), ascending
  int local_rank = 0;        // this rank's number on the machine, below local_ranks
  int local_ranks = 1;       // ranks on the machine
  int threads = 1;           // threads of each rank
};

struct RankPlacement {
  // Nodes for the rank's memory: one node to bind it to, or several to interleave it over. Empty if the
  // machine has one node.
  std::vector<int> nodes;
  // Processors that all threads of the rank are bound to, ascending: the allowed processors of `nodes`. Empty
  // if the machine has one node.
  std::vector<int> confined_to;
  // [threads]: the processor of each thread; ranks do not share them. Empty: there are too few processors for
  // all ranks' threads, or the launcher has bound each rank to its own processors.
  std::vector<int> processors;
};

// Requires local_rank < local_ranks and threads >= 1.
RankPlacement PlaceRank(const Machine& machine, const PlacementRequest& request);

// The placement as one line for the log.
std::string Describe(const RankPlacement& placement, const PlacementRequest& request);

// `numbers`, which must be ascending, as ranges: "0-3, 8".
std::string Ranges(const std::vector<int>& numbers);

}  // namespace deeprack::worker
