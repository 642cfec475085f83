#include "coordinator/placement/placement.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace deeprack::coordinator {
namespace {

std::string NameOf(const JoinedNode& node) {
  return absl::StrCat("the worker with pid ", node.pid, " on ", node.host);
}

}  // namespace

absl::Status CheckJoin(const model::Layout& layout, std::span<const JoinedNode> joined,
                       const JoinedNode& next) {
  const int32_t world = layout.world_size();
  const bool launched = next.launch_rank >= 0;
  if (std::ssize(joined) >= world) {
    return absl::ResourceExhaustedError(absl::StrCat(NameOf(next), " is one too many: layout ",
                                                     ToString(layout), " has ", world,
                                                     " ranks, and all have joined"));
  }
  if (launched && (next.launch_world != world || next.launch_rank >= world)) {
    return absl::FailedPreconditionError(absl::StrCat("the launcher started ", next.launch_world,
                                                      " workers, and layout ", ToString(layout), " needs ",
                                                      world, ": start mpirun -n ", world));
  }
  for (const JoinedNode& other : joined) {
    if (launched != (other.launch_rank >= 0)) {
      return absl::FailedPreconditionError(absl::StrCat(NameOf(next), launched ? " was" : " was not",
                                                        " started by mpirun, unlike ", NameOf(other)));
    }
    if (launched && other.launch_rank == next.launch_rank) {
      return absl::AlreadyExistsError(absl::StrCat(NameOf(next), " says it is launch rank ", next.launch_rank,
                                                   ", as ", NameOf(other),
                                                   " is already: do two launches share this coordinator?"));
    }
    if (other.backend != next.backend) {
      return absl::FailedPreconditionError(absl::StrCat(NameOf(next), " computes on ", next.backend, ", ",
                                                        NameOf(other), " on ", other.backend));
    }
  }
  return absl::OkStatus();
}

DataPlane ChooseDataPlane(std::span<const JoinedNode> joined) {
  std::set<std::string> cards;
  for (const JoinedNode& node : joined) {
    if (!node.nccl || node.card.empty() || !cards.insert(node.card).second) return DataPlane::kLauncher;
  }
  return joined.size() > 1 ? DataPlane::kNccl : DataPlane::kLauncher;
}

std::string DescribeMissing(const model::Layout& layout, std::span<const JoinedNode> joined) {
  const int32_t world = layout.world_size();
  std::string text = absl::StrCat(joined.size(), " of ", world, " workers joined");
  std::vector<bool> present(world, false);
  for (const JoinedNode& node : joined) {
    if (node.launch_rank < 0) return text;  // lone workers have no numbers
    if (node.launch_rank < world) present[node.launch_rank] = true;
  }
  std::vector<int32_t> missing;
  for (int32_t rank = 0; rank < world; ++rank) {
    if (!present[rank]) missing.push_back(rank);
  }
  if (!missing.empty()) {
    absl::StrAppend(&text, "; missing launch rank", missing.size() > 1 ? "s " : " ",
                    absl::StrJoin(missing, ", "));
  }
  return text;
}

absl::StatusOr<std::vector<Rank>> AssignRanks(const model::Layout& layout,
                                              std::span<const JoinedNode> joined) {
  if (std::ssize(joined) < layout.world_size()) {
    return absl::FailedPreconditionError(
        absl::StrCat("too few workers for layout ", ToString(layout), ": ", DescribeMissing(layout, joined)));
  }
  std::vector<Rank> ranks;
  for (size_t i = 0; i < joined.size(); ++i) {
    if (absl::Status status = CheckJoin(layout, joined.first(i), joined[i]); !status.ok()) return status;
    ranks.push_back(joined[i].launch_rank >= 0 ? joined[i].launch_rank : static_cast<Rank>(i));
  }
  return ranks;
}

}  // namespace deeprack::coordinator
