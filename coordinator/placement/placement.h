// Joined workers -> ranks of the layout. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ids.h"
#include "model/layout/layout.h"

namespace deeprack::coordinator {

// A worker that has said hello.
struct JoinedNode {
  int32_t launch_rank = -1;  // its rank in the launcher's world; -1: it was started alone
  int32_t launch_world = 1;  // size of that world
  std::string host;
  int64_t pid = 0;
  std::string address;  // host:port where it serves
  std::string backend;  // cpu, cuda
  std::string card;     // its name among all cards of all machines; empty: none
  bool nccl = false;    // whether it can meet its peers over NCCL
  Rank kept_rank = -1;  // the one that it has had in the epoch before; -1: it has just come
};

// Whether `next` can join those that `joined` already. The launcher's ranks are the layout's ranks, so both
// worlds must have the same size. Errors: FailedPrecondition (another world size or backend; launched and
// lone workers mixed), AlreadyExists (its rank is taken), ResourceExhausted (all places are).
absl::Status CheckJoin(const model::Layout& layout, std::span<const JoinedNode> joined,
                       const JoinedNode& next);

// Entry i is the rank of node i: its launch rank, or the one that it has kept, or the lowest that is left, in
// the order of joining. FailedPrecondition when workers are missing; the message is DescribeMissing's.
absl::StatusOr<std::vector<Rank>> AssignRanks(const model::Layout& layout,
                                              std::span<const JoinedNode> joined);

// How the ranks exchange data. kLauncher: as mpirun's world, or as a world of one. kNccl: cards among
// themselves.
enum class DataPlane { kLauncher, kNccl };

// NCCL where every rank can and has a card of its own (it does not serve two ranks of one card), and there is
// more than one.
DataPlane ChooseDataPlane(std::span<const JoinedNode> joined);

// Whether ranks that stood together like this can meet again in a new world without being started anew: over
// NCCL, or as a rank that is alone. An MPI world that broke stays broken.
bool CanMeetAgain(std::span<const JoinedNode> joined);

// The ranks that have nobody, in ascending order.
std::vector<Rank> MissingRanks(const model::Layout& layout, std::span<const JoinedNode> joined);

// "2 of 4 workers joined; missing launch ranks 1, 3". Workers without a launcher have no numbers until they
// have been given ranks.
std::string DescribeMissing(const model::Layout& layout, std::span<const JoinedNode> joined);

}  // namespace deeprack::coordinator
