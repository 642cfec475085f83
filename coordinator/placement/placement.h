// Joined workers -> ranks of the layout. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ids.h"
#include "coordinator/placement/node_report.h"
#include "model/layout/layout.h"

namespace deeprack::coordinator {

// A worker that has joined or asks to join.
struct JoinedNode {
  int32_t launch_rank = -1;  // its rank in the launcher's world; -1: no launcher started it
  int32_t launch_world = 1;  // ranks of the launcher's world
  std::string host;
  int64_t pid = 0;
  std::string address;  // host:port of its service
  std::string backend;  // cpu, cuda
  std::string card;     // the card's name among the cards of all machines; empty: no card
  bool nccl = false;    // true: it can meet its peers over NCCL
  bool gloo = false;    // true: it can meet its peers over gloo
  // The rank whose weights it has: of the epoch before, or of its last load under another coordinator. -1:
  // none.
  Rank kept_rank = -1;
  Epoch last_epoch = 0;      // of its last load; 0: none
  std::string kept_options;  // names the options of the load that brought the weights (DigestOfLoad)
  NodeReport report;
};

// OK when `next` can join the nodes `joined`. The launcher's ranks are the layout's ranks, so both worlds
// have the same size. Errors: FailedPrecondition (another world size or backend; workers with and without a
// launcher mixed), AlreadyExists (its rank is taken), ResourceExhausted (every place is taken).
absl::Status CheckJoin(const model::Layout& layout, std::span<const JoinedNode> joined,
                       const JoinedNode& next);

// Entry i is the rank of node i, or -1 when the layout has no rank left for node i. A launch rank is the
// rank, and so is a kept rank that the layout has. All other ranks follow from the nodes' reports
// (pack_ranks.h) and not from the order of joining. FailedPrecondition when workers are missing, with the
// message of DescribeMissing.
absl::StatusOr<std::vector<Rank>> AssignRanks(const model::Layout& layout,
                                              std::span<const JoinedNode> joined);

// For the log: "node1: ranks 0, 1, 2, 3; node2: ranks 4, 5, 6, 7". Entry i of `ranks` is node i's.
std::string DescribeRanks(std::span<const JoinedNode> joined, std::span<const Rank> ranks);

// How the ranks exchange data. kLauncher: in mpirun's world, or in a world of one. kNccl: cards over NCCL.
// kGloo: host memory over gloo.
enum class DataPlane { kLauncher, kNccl, kGloo };

// kNccl when there are several ranks, each can use NCCL, and each has its own card. NCCL does not serve two
// ranks on one card. Otherwise kGloo when there are several ranks, each can use gloo, and no launcher started
// any of them.
DataPlane ChooseDataPlane(std::span<const JoinedNode> joined);

// True when these ranks can form a new world without new processes: over NCCL or gloo, or as a single rank.
// An MPI world that broke stays broken.
bool CanMeetAgain(std::span<const JoinedNode> joined);

// The ranks without a worker, in ascending order.
std::vector<Rank> MissingRanks(const model::Layout& layout, std::span<const JoinedNode> joined);

// "2 of 4 workers joined; missing launch ranks 1, 3". Ranks are named only when workers have a launch rank or
// a kept rank.
std::string DescribeMissing(const model::Layout& layout, std::span<const JoinedNode> joined);

}  // namespace deeprack::coordinator
