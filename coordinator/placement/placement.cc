#include "coordinator/placement/placement.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace deeprack::coordinator {
namespace {

std::string NameOf(const JoinedNode& node) {
  return absl::StrCat("the worker with pid ", node.pid, " on ", node.host);
}

Rank SettledRank(const JoinedNode& node) { return node.launch_rank >= 0 ? node.launch_rank : node.kept_rank; }

// Entry i is node i's rank, or negative when no rank is free for node i. `left` gets the ranks without a
// node.
std::vector<Rank> GiveRanks(const model::Layout& layout, std::span<const JoinedNode> joined,
                            std::vector<Rank>& left) {
  std::set<Rank> open;
  for (Rank rank = 0; rank < layout.world_size(); ++rank) open.insert(rank);
  for (const JoinedNode& node : joined) open.erase(SettledRank(node));
  std::vector<Rank> ranks;
  for (const JoinedNode& node : joined) {
    Rank rank = SettledRank(node);
    if (rank < 0 && !open.empty()) rank = open.extract(open.begin()).value();
    ranks.push_back(rank);
  }
  left.assign(open.begin(), open.end());
  return ranks;
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
  if (joined.size() < 2) return DataPlane::kLauncher;
  std::set<std::string> cards;
  if (std::ranges::all_of(joined, [&](const JoinedNode& node) {
        return node.nccl && !node.card.empty() && cards.insert(node.card).second;
      })) {
    return DataPlane::kNccl;
  }
  const bool gloo =
      std::ranges::all_of(joined, [](const JoinedNode& node) { return node.gloo && node.launch_rank < 0; });
  return gloo ? DataPlane::kGloo : DataPlane::kLauncher;
}

std::string DescribeMissing(const model::Layout& layout, std::span<const JoinedNode> joined) {
  std::string text = absl::StrCat(joined.size(), " of ", layout.world_size(), " workers joined");
  const bool launched = std::ranges::all_of(joined, [](const auto& node) { return node.launch_rank >= 0; });
  const bool kept = std::ranges::any_of(joined, [](const auto& node) { return node.kept_rank >= 0; });
  if (!launched && !kept) return text;
  const std::vector<Rank> missing = MissingRanks(layout, joined);
  if (!missing.empty()) {
    absl::StrAppend(&text, "; missing ", launched ? "launch " : "", missing.size() > 1 ? "ranks " : "rank ",
                    absl::StrJoin(missing, ", "));
  }
  return text;
}

bool CanMeetAgain(std::span<const JoinedNode> joined) {
  return joined.size() == 1 || ChooseDataPlane(joined) != DataPlane::kLauncher;
}

std::vector<Rank> MissingRanks(const model::Layout& layout, std::span<const JoinedNode> joined) {
  std::vector<Rank> missing;
  GiveRanks(layout, joined, missing);
  return missing;
}

absl::StatusOr<std::vector<Rank>> AssignRanks(const model::Layout& layout,
                                              std::span<const JoinedNode> joined) {
  if (std::ssize(joined) < layout.world_size()) {
    return absl::FailedPreconditionError(
        absl::StrCat("too few workers for layout ", ToString(layout), ": ", DescribeMissing(layout, joined)));
  }
  for (size_t i = 0; i < joined.size(); ++i) {
    if (absl::Status status = CheckJoin(layout, joined.first(i), joined[i]); !status.ok()) return status;
  }
  std::vector<Rank> left;
  return GiveRanks(layout, joined, left);
}

}  // namespace deeprack::coordinator
