#include "worker/topology/rank_placement.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace deeprack::worker {
namespace {

struct Core {
  int node = 0;
  std::vector<int> processors;
};

// A rank's part of the machine.
struct Share {
  std::vector<int> nodes;       // ascending
  std::vector<int> processors;  // in the order in which threads take them
};

// The fallback when the machine's topology has none of the allowed processors, as in some containers: one
// node, each processor a core.
Machine WithoutStructure(const std::vector<int>& allowed) {
  NumaNode node;
  for (const int processor : allowed) node.cores.push_back({processor});
  return {.nodes = {std::move(node)}};
}

// The machine's cores with only the allowed processors.
std::vector<std::vector<Core>> AllowedCores(const Machine& machine, const std::vector<int>& allowed) {
  std::vector<std::vector<Core>> nodes;
  for (const NumaNode& node : machine.nodes) {
    std::vector<Core> cores;
    for (const std::vector<int>& processors : node.cores) {
      Core core = {.node = node.number};
      std::copy_if(processors.begin(), processors.end(), std::back_inserter(core.processors),
                   [&](int p) { return std::binary_search(allowed.begin(), allowed.end(), p); });
      if (!core.processors.empty()) cores.push_back(std::move(core));
    }
    if (!cores.empty()) nodes.push_back(std::move(cores));
  }
  return nodes;
}

// Part `index` of `parts` of the cores; if there are fewer cores than parts, of their processors. Every core
// gets one thread before any core gets a second one.
Share ShareOf(const std::vector<Core>& cores, int64_t index, int64_t parts) {
  std::vector<Core> units;
  for (const Core& core : cores) {
    if (std::ssize(cores) >= parts) {
      units.push_back(core);
    } else {
      for (const int p : core.processors) units.push_back({.node = core.node, .processors = {p}});
    }
  }
  const int64_t begin = std::ssize(units) * index / parts, end = std::ssize(units) * (index + 1) / parts;
  Share share;
  for (int64_t i = begin; i < end; ++i) share.nodes.push_back(units[i].node);
  share.nodes.erase(std::unique(share.nodes.begin(), share.nodes.end()), share.nodes.end());
  for (size_t turn = 0, before = SIZE_MAX; before != share.processors.size(); ++turn) {
    before = share.processors.size();
    for (int64_t i = begin; i < end; ++i) {
      if (turn < units[i].processors.size()) share.processors.push_back(units[i].processors[turn]);
    }
  }
  return share;
}

std::vector<Core> Joined(const std::vector<std::vector<Core>>& nodes, int64_t begin, int64_t end) {
  std::vector<Core> cores;
  for (int64_t n = begin; n < end; ++n) cores.insert(cores.end(), nodes[n].begin(), nodes[n].end());
  return cores;
}

// Whole nodes for each rank, or an equal number of ranks on each node. Empty if neither number divides the
// other.
std::vector<Share> SharesByNode(const std::vector<std::vector<Core>>& nodes, int64_t ranks) {
  const int64_t count = std::ssize(nodes);
  std::vector<Share> shares;
  for (int64_t r = 0; r < ranks && count % ranks == 0; ++r) {
    shares.push_back(ShareOf(Joined(nodes, r * (count / ranks), (r + 1) * (count / ranks)), 0, 1));
  }
  const int64_t on_node = ranks / count;
  for (int64_t r = 0; r < ranks && shares.size() < static_cast<size_t>(ranks) && ranks % count == 0; ++r) {
    shares.push_back(ShareOf(nodes[r / on_node], r % on_node, on_node));
    shares.back().nodes = {nodes[r / on_node].front().node};  // also if there is no processor for this rank
  }
  return shares;
}

std::vector<Share> SharesByCore(const std::vector<std::vector<Core>>& nodes, int64_t ranks) {
  std::vector<Share> shares;
  const std::vector<Core> cores = Joined(nodes, 0, std::ssize(nodes));
  for (int64_t r = 0; r < ranks; ++r) shares.push_back(ShareOf(cores, r, ranks));
  return shares;
}

bool Hold(const std::vector<Share>& shares, int64_t threads) {
  return !shares.empty() && std::all_of(shares.begin(), shares.end(), [threads](const Share& share) {
    return std::ssize(share.processors) >= threads;
  });
}

// The allowed processors of `nodes`, ascending.
std::vector<int> ProcessorsOf(const std::vector<std::vector<Core>>& cores, const std::vector<int>& nodes) {
  std::vector<int> processors;
  for (const Core& core : Joined(cores, 0, std::ssize(cores))) {
    if (std::find(nodes.begin(), nodes.end(), core.node) == nodes.end()) continue;
    processors.insert(processors.end(), core.processors.begin(), core.processors.end());
  }
  std::sort(processors.begin(), processors.end());
  return processors;
}

}  // namespace

RankPlacement PlaceRank(const Machine& machine, const PlacementRequest& request) {
  DR_CHECK(request.local_rank >= 0 && request.local_rank < request.local_ranks && request.threads >= 1);
  if (request.allowed.empty()) return {};
  const std::vector<std::vector<Core>> nodes = AllowedCores(machine, request.allowed);
  if (nodes.empty()) return PlaceRank(WithoutStructure(request.allowed), request);
  std::vector<Share> shares = SharesByNode(nodes, request.local_ranks);
  if (!Hold(shares, request.threads)) {
    std::vector<Share> by_core = SharesByCore(nodes, request.local_ranks);
    if (Hold(by_core, request.threads)) shares = std::move(by_core);
  }

  RankPlacement placement;
  if (shares.empty()) return placement;  // ranks and nodes do not divide, and there are too few processors
  const Share& share = shares[static_cast<size_t>(request.local_rank)];
  if (Hold(shares, request.threads)) {
    placement.processors.assign(share.processors.begin(), share.processors.begin() + request.threads);
  }
  if (machine.nodes.size() > 1) {
    placement.nodes = share.nodes;
    placement.confined_to = ProcessorsOf(nodes, share.nodes);
  }
  return placement;
}

std::string Describe(const RankPlacement& placement, const PlacementRequest& request) {
  std::vector<int> processors = placement.processors;
  std::sort(processors.begin(), processors.end());
  std::string text =
      absl::StrCat("rank ", request.local_rank, " of ", request.local_ranks,
                   " on this machine: ", request.threads, request.threads == 1 ? " thread, " : " threads, ");
  if (!processors.empty()) {
    absl::StrAppend(&text, "on processors ", Ranges(processors));
  } else {
    absl::StrAppend(&text, "not bound to single processors: there are ", request.allowed.size(),
                    " for all ranks here");
    if (!placement.confined_to.empty()) {
      absl::StrAppend(&text, "; they stay on ", Ranges(placement.confined_to));
    }
  }
  if (placement.nodes.size() == 1) {
    absl::StrAppend(&text, "; memory on their NUMA node ", placement.nodes[0]);
  } else if (placement.nodes.size() > 1) {
    absl::StrAppend(&text, "; memory interleaved over NUMA nodes ", Ranges(placement.nodes),
                    ": a rank for each node is faster (--tp)");
  }
  return text;
}

std::string Ranges(const std::vector<int>& numbers) {
  std::string text;
  for (size_t i = 0; i < numbers.size();) {
    size_t last = i;
    while (last + 1 < numbers.size() && numbers[last + 1] == numbers[last] + 1) ++last;
    absl::StrAppend(&text, text.empty() ? "" : ", ", numbers[i]);
    if (last > i) absl::StrAppend(&text, "-", numbers[last]);
    i = last + 1;
  }
  return text;
}

}  // namespace deeprack::worker
