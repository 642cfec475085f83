#include "coordinator/placement/pack_ranks.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <tuple>
#include <utility>

#include "base/check.h"

namespace deeprack::coordinator {
namespace {

// Spots that take consecutive ranks.
struct Unit {
  std::vector<size_t> spots;
  std::string machine;      // empty: of several machines
  int32_t link_group = -1;  // -1: of several link groups, or none
  int split_tp_groups = 0;  // tp groups in this unit that lie on several machines
};

using Units = std::vector<Unit>;

auto OrderOf(const Spot& spot) { return std::tie(spot.machine, spot.link_group, spot.order); }

std::vector<size_t> InOrder(std::span<const Spot> spots, std::vector<size_t> indices) {
  std::ranges::stable_sort(indices,
                           [&](size_t a, size_t b) { return OrderOf(spots[a]) < OrderOf(spots[b]); });
  return indices;
}

// One unit for each of `indices`, in order.
Units SingleUnits(std::span<const Spot> spots, const std::vector<size_t>& indices) {
  Units units;
  for (const size_t index : InOrder(spots, indices)) {
    units.push_back(
        {.spots = {index}, .machine = spots[index].machine, .link_group = spots[index].link_group});
  }
  return units;
}

// Puts the same number of smaller units into each larger unit.
class Combination {
 public:
  Combination(std::span<const Spot> spots, size_t ratio, bool makes_tp_groups)
      : spots_(spots), ratio_(ratio), makes_tp_groups_(makes_tp_groups) {}

  // Makes larger units within link groups first, then within machines, and with `split` across machines last.
  Units Combine(const Units& units, bool split = true) {
    std::map<std::pair<std::string, int32_t>, Units> by_link;
    std::map<std::string, Units> by_machine;
    for (const Unit& unit : units) {
      if (unit.machine.empty()) {
        mixed_.push_back(unit);
      } else if (unit.link_group < 0) {
        by_machine[unit.machine].push_back(unit);
      } else {
        by_link[{unit.machine, unit.link_group}].push_back(unit);
      }
    }
    for (auto& [link, members] : by_link) {
      TakeWhole(members);
      Units& left = by_machine[link.first];
      left.insert(left.end(), members.begin(), members.end());
    }
    for (auto& [machine, members] : by_machine) {
      TakeWhole(members);
      if (!members.empty()) left_[machine] = std::move(members);
    }
    if (split) TakeAcross();
    std::ranges::stable_sort(done_, {}, &Unit::split_tp_groups);
    return std::move(done_);
  }

 private:
  void TakeWhole(Units& members) {
    size_t taken = 0;
    for (; taken + ratio_ <= members.size(); taken += ratio_) {
      done_.push_back(Joined({members.begin() + static_cast<int64_t>(taken),
                              members.begin() + static_cast<int64_t>(taken + ratio_)}));
    }
    members.erase(members.begin(), members.begin() + static_cast<int64_t>(taken));
  }

  // Units of several machines come last, because they may have split tp groups already.
  void TakeAcross() {
    size_t count = mixed_.size();
    for (const auto& [machine, members] : left_) count += members.size();
    std::ranges::stable_sort(mixed_, {}, &Unit::split_tp_groups);
    for (; count >= ratio_; count -= ratio_) {
      Units parts;
      while (parts.size() < ratio_) TakeSome(ratio_ - parts.size(), parts);
      done_.push_back(Joined(std::move(parts)));
    }
  }

  // Moves up to `needed` units of one machine to `parts`. A machine with exactly `needed` units comes first.
  // Next come machines with fewer units, the largest first; last come machines with more, the smallest first.
  void TakeSome(size_t needed, Units& parts) {
    if (left_.empty()) {
      parts.push_back(mixed_.front());
      mixed_.erase(mixed_.begin());
      return;
    }
    const auto rank_of = [needed](const Units& members) {
      const size_t size = members.size();
      if (size == needed) return std::pair<int, size_t>(0, 0);
      return size < needed ? std::pair<int, size_t>(1, needed - size) : std::pair<int, size_t>(2, size);
    };
    const auto best = std::min_element(left_.begin(), left_.end(), [&](const auto& a, const auto& b) {
      return rank_of(a.second) < rank_of(b.second);
    });
    Units& members = best->second;
    const auto count = static_cast<int64_t>(std::min(needed, members.size()));
    parts.insert(parts.end(), members.begin(), members.begin() + count);
    members.erase(members.begin(), members.begin() + count);
    if (members.empty()) left_.erase(best);
  }

  Unit Joined(Units parts) const {
    std::ranges::stable_sort(parts, [&](const Unit& a, const Unit& b) {
      return OrderOf(spots_[a.spots.front()]) < OrderOf(spots_[b.spots.front()]);
    });
    Unit unit = {.machine = parts.front().machine, .link_group = parts.front().link_group};
    for (const Unit& part : parts) {
      unit.spots.insert(unit.spots.end(), part.spots.begin(), part.spots.end());
      if (part.machine != unit.machine) unit.machine.clear();
      if (part.link_group != unit.link_group) unit.link_group = -1;
      unit.split_tp_groups += part.split_tp_groups;
    }
    if (unit.machine.empty()) unit.link_group = -1;
    if (makes_tp_groups_ && unit.machine.empty()) unit.split_tp_groups = 1;
    return unit;
  }

  const std::span<const Spot> spots_;
  const size_t ratio_;
  const bool makes_tp_groups_;
  std::map<std::string, Units> left_;  // by machine
  Units mixed_;
  Units done_;
};

Units TpGroups(const model::Layout& layout, std::span<const Spot> spots, const std::vector<size_t>& indices,
               bool split) {
  return Combination(spots, static_cast<size_t>(layout.tp), /*makes_tp_groups=*/true)
      .Combine(SingleUnits(spots, indices), split);
}

// The number of ranks of this tp group's stage that lie on `machine`.
int NeighboursOf(const model::Layout& layout, std::span<const Spot> spots, const std::vector<int64_t>& ranks,
                 int32_t group, const std::string& machine) {
  const int32_t stage = group / layout.dp;
  int count = 0;
  for (int32_t rank = stage * layout.stage_size(); rank < (stage + 1) * layout.stage_size(); ++rank) {
    if (ranks[static_cast<size_t>(rank)] >= 0) {
      count += spots[static_cast<size_t>(ranks[static_cast<size_t>(rank)])].machine == machine ? 1 : 0;
    }
  }
  return count;
}

}  // namespace

std::vector<size_t> PackRanks(const model::Layout& layout, std::span<const Spot> spots) {
  DR_CHECK(std::ssize(spots) >= layout.world_size());
  std::vector<size_t> all(spots.size());
  std::iota(all.begin(), all.end(), size_t{0});
  Units units = TpGroups(layout, spots, all, /*split=*/true);
  // Both tp and the ranks of an expert group divide a stage, and so does their least common multiple.
  const int32_t near = layout.ep > 0 ? std::lcm(layout.tp, layout.expert_tp()) : layout.tp;
  int32_t size = layout.tp;
  for (const int32_t larger : {near, layout.stage_size()}) {
    if (larger == size) continue;
    units = Combination(spots, static_cast<size_t>(larger / size), /*makes_tp_groups=*/false).Combine(units);
    size = larger;
  }
  units.resize(static_cast<size_t>(layout.pp));
  std::ranges::stable_sort(units, [&](const Unit& a, const Unit& b) {
    return OrderOf(spots[a.spots.front()]) < OrderOf(spots[b.spots.front()]);
  });
  std::vector<size_t> ranks;
  for (const Unit& stage : units) ranks.insert(ranks.end(), stage.spots.begin(), stage.spots.end());
  return ranks;
}

std::vector<size_t> FillRanks(const model::Layout& layout, std::span<const Spot> spots,
                              std::vector<int64_t> kept, std::vector<size_t> newcomers) {
  const int32_t tp = layout.tp;
  newcomers = InOrder(spots, std::move(newcomers));
  std::vector<int64_t>& ranks = kept;
  const auto give = [&](int32_t rank, size_t spot) {
    ranks[static_cast<size_t>(rank)] = static_cast<int64_t>(spot);
    std::erase(newcomers, spot);
  };
  const auto is_open = [&](int32_t rank) { return ranks[static_cast<size_t>(rank)] < 0; };
  const auto open_ranks_of = [&](int32_t group) {
    int32_t open = 0;
    for (int32_t rank = group * tp; rank < (group + 1) * tp; ++rank) open += is_open(rank) ? 1 : 0;
    return open;
  };

  // Newcomers join the tp group that has ranks on their machine, best in their link group.
  for (const bool same_link : {true, false}) {
    for (int32_t rank = 0; rank < layout.world_size(); ++rank) {
      if (!is_open(rank)) continue;
      const auto near = std::ranges::find_if(newcomers, [&](size_t spot) {
        for (int32_t peer = rank / tp * tp; peer < (rank / tp + 1) * tp; ++peer) {
          if (is_open(peer)) continue;
          const Spot& other = spots[static_cast<size_t>(ranks[static_cast<size_t>(peer)])];
          if (other.machine == spots[spot].machine &&
              (!same_link || other.link_group == spots[spot].link_group)) {
            return true;
          }
        }
        return false;
      });
      if (near != newcomers.end()) give(rank, *near);
    }
  }
  // Whole open tp groups go to one machine each, best to a machine of their stage.
  Units groups = TpGroups(layout, spots, newcomers, /*split=*/false);
  for (int32_t group = 0; group < layout.dp * layout.pp && !groups.empty(); ++group) {
    if (open_ranks_of(group) != tp) continue;
    const auto best = std::ranges::max_element(groups, {}, [&](const Unit& unit) {
      return NeighboursOf(layout, spots, ranks, group, unit.machine);
    });
    for (int32_t i = 0; i < tp; ++i) give(group * tp + i, best->spots[static_cast<size_t>(i)]);
    groups.erase(best);
  }
  for (int32_t rank = 0; rank < layout.world_size(); ++rank) {
    if (!is_open(rank)) continue;
    DR_CHECK(!newcomers.empty());
    give(rank, newcomers.front());
  }
  return {ranks.begin(), ranks.end()};
}

}  // namespace deeprack::coordinator
