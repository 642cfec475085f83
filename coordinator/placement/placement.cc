#include "coordinator/placement/placement.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "coordinator/placement/pack_ranks.h"

namespace deeprack::coordinator {
namespace {

std::string NameOf(const JoinedNode& node) {
  return absl::StrCat("the worker with pid ", node.pid, " on ", node.host);
}

Rank SettledRank(const JoinedNode& node) { return node.launch_rank >= 0 ? node.launch_rank : node.kept_rank; }

// Machines come in the order of their hosts' names. Workers that report no machine are told apart by host.
Spot SpotOf(const JoinedNode& node) {
  return {.machine = absl::StrCat(node.host, "/", node.report.machine),
          .link_group = node.report.link_group(),
          .order = absl::StrFormat("%05d %05d %s %s %020d", node.report.numa_node() + 1, node.report.card + 1,
                                   node.card, node.address, node.pid)};
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

std::string ToString(const NodeReport& report) {
  const auto gib = [](int64_t bytes) { return static_cast<double>(bytes) / (int64_t{1} << 30); };
  std::string text =
      absl::StrFormat("%d cores, %d NUMA node%s, %.1f GiB free", report.cores, report.numa_nodes,
                      report.numa_nodes == 1 ? "" : "s", gib(report.available_bytes));
  if (!report.has_card()) return text;
  const CardReport& card = report.cards[static_cast<size_t>(report.card)];
  absl::StrAppendFormat(&text, "; card %d of %d (%s, %.1f GiB free, ", report.card, report.cards.size(),
                        card.name, gib(card.free_bytes));
  absl::StrAppend(&text, card.link_group < 0 ? "no NVLink" : absl::StrCat("NVLink group ", card.link_group),
                  ")");
  return text;
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
  std::set<Rank> open;
  for (Rank rank = 0; rank < layout.world_size(); ++rank) open.insert(rank);
  size_t newcomers = 0;
  for (const JoinedNode& node : joined) newcomers += open.erase(SettledRank(node)) == 0 ? 1 : 0;
  // Which ranks newcomers take is decided when all workers are there. Until then they count as the lowest.
  std::vector<Rank> missing(open.begin(), open.end());
  missing.erase(missing.begin(),
                missing.begin() + std::min(std::ssize(missing), static_cast<ptrdiff_t>(newcomers)));
  return missing;
}

absl::StatusOr<std::vector<Rank>> AssignRanks(const model::Layout& layout,
                                              std::span<const JoinedNode> joined) {
  if (std::ssize(joined) < layout.world_size()) {
    return absl::FailedPreconditionError(
        absl::StrCat("too few workers for layout ", ToString(layout), ": ", DescribeMissing(layout, joined)));
  }
  std::vector<Spot> spots;
  std::vector<size_t> newcomers;
  std::vector<int64_t> kept(static_cast<size_t>(layout.world_size()), -1);
  for (size_t i = 0; i < joined.size(); ++i) {
    spots.push_back(SpotOf(joined[i]));
    const Rank rank = SettledRank(joined[i]);
    if (rank >= 0 && rank < layout.world_size() && kept[static_cast<size_t>(rank)] < 0) {
      kept[static_cast<size_t>(rank)] = static_cast<int64_t>(i);
    } else {
      newcomers.push_back(i);
    }
  }
  const std::vector<size_t> spot_of_rank = newcomers.size() == joined.size()
                                               ? PackRanks(layout, spots)
                                               : FillRanks(layout, spots, kept, newcomers);
  std::vector<Rank> ranks(joined.size(), -1);
  for (size_t rank = 0; rank < spot_of_rank.size(); ++rank) {
    ranks[spot_of_rank[rank]] = static_cast<Rank>(rank);
  }
  return ranks;
}

std::string DescribeRanks(std::span<const JoinedNode> joined, std::span<const Rank> ranks) {
  std::map<std::string, std::set<Rank>> by_host;
  std::set<std::string> spare;
  for (size_t i = 0; i < joined.size(); ++i) {
    if (ranks[i] >= 0) {
      by_host[joined[i].host].insert(ranks[i]);
    } else {
      spare.insert(absl::StrCat("pid ", joined[i].pid, " on ", joined[i].host));
    }
  }
  std::vector<std::string> parts;
  for (const auto& [host, of_host] : by_host) {
    parts.push_back(
        absl::StrCat(host, ": ", of_host.size() > 1 ? "ranks " : "rank ", absl::StrJoin(of_host, ", ")));
  }
  if (!spare.empty()) parts.push_back(absl::StrCat("without a rank: ", absl::StrJoin(spare, ", ")));
  return absl::StrJoin(parts, "; ");
}

}  // namespace deeprack::coordinator
