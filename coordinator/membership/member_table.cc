#include "coordinator/membership/member_table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"

namespace deeprack::coordinator {
namespace {

constexpr Epoch kLatestEpoch = Epoch{1} << 62;

bool SameProcess(const JoinedNode& a, const JoinedNode& b) {
  return a.pid == b.pid && a.host == b.host && a.address == b.address;
}

}  // namespace

std::string ToString(const Loss& loss) {
  return absl::StrCat(loss.rank < 0 ? "a worker" : absl::StrCat("rank ", loss.rank), " (pid ", loss.pid,
                      " on ", loss.host, ") was lost: ", loss.why);
}

absl::StatusOr<MemberTable::MemberId> MemberTable::Join(JoinedNode node, absl::Time now) {
  if (node.last_epoch > kLatestEpoch) {
    return absl::InvalidArgumentError(absl::StrCat("the worker with pid ", node.pid, " on ", node.host,
                                                   " says that its last epoch was ", node.last_epoch,
                                                   ", which no coordinator reaches"));
  }
  DR_RETURN_IF_ERROR(CheckJoin(layouts_.front(), nodes(), node));
  if (node.kept_options != load_options_ || node.kept_rank >= layouts_.front().world_size())
    node.kept_rank = -1;
  for (auto& [id, member] : members_) {
    if (node.kept_rank < 0 || member.node.kept_rank != node.kept_rank) continue;
    (member.node.last_epoch < node.last_epoch ? member.node : node).kept_rank = -1;
  }
  if (!settled_) epoch_ = std::max(epoch_, node.last_epoch + 1);
  const Rank rank = node.launch_rank;
  members_[next_] = {.node = std::move(node), .rank = rank, .last_heartbeat = now, .last_progress = now};
  return next_++;
}

std::optional<MemberTable::MemberId> MemberTable::FindProcess(const JoinedNode& node) const {
  for (const auto& [id, member] : members_) {
    if (!member.lost && SameProcess(member.node, node)) return id;
  }
  return std::nullopt;
}

bool MemberTable::Heartbeat(MemberId id, uint64_t steps_finished, bool busy, absl::Time now) {
  const auto found = members_.find(id);
  if (found == members_.end()) return false;
  Member& member = found->second;
  // The member was idle until now, or has finished a step. The time for its next step starts here.
  if (!busy || !member.busy || steps_finished != member.steps_finished) member.last_progress = now;
  member.last_heartbeat = now;
  member.steps_finished = steps_finished;
  member.busy = busy;
  return true;
}

std::optional<Loss> MemberTable::Lose(MemberId id, const std::string& why) {
  const auto found = members_.find(id);
  if (found == members_.end() || found->second.lost) return std::nullopt;
  Member& member = found->second;
  const bool open = settled_ ? member.rank < 0 : reopened_ || layouts_.size() > 1;
  Loss loss{epoch_, member.rank, member.node.host, member.node.pid, why, open};
  member.lost = true;
  if (open) members_.erase(found);
  return loss;
}

std::vector<Loss> MemberTable::CheckHealth(absl::Time now) {
  const bool overslept = now - last_check_ > limits_.heartbeat_timeout / 2;
  last_check_ = now;
  std::erase_if(holds_, [&](const Hold& hold) { return hold.until <= now; });
  std::vector<std::pair<MemberId, std::string>> gone;
  for (auto& [id, member] : members_) {
    if (member.lost) continue;
    if (overslept) {
      member.last_heartbeat = member.last_progress = now;
    } else if (now - member.last_heartbeat > limits_.heartbeat_timeout) {
      gone.emplace_back(id,
                        absl::StrCat("no heartbeat for ", absl::FormatDuration(limits_.heartbeat_timeout)));
    } else if (member.busy && now - member.last_progress > limits_.stuck_timeout) {
      gone.emplace_back(id, absl::StrCat("stuck: it has work and finished no step for ",
                                         absl::FormatDuration(limits_.stuck_timeout)));
    }
  }
  std::vector<Loss> losses;
  for (const auto& [id, why] : gone) losses.push_back(*Lose(id, why));
  return losses;
}

void MemberTable::OpenNextEpoch(absl::Time now, bool smaller) {
  Open(now, smaller && chosen_ + 1 < layouts_.size() ? chosen_ + 1 : 0);
}

void MemberTable::Open(absl::Time now, size_t largest_allowed) {
  const bool meet_again = settled_ && CanMeetAgain(nodes());
  std::erase_if(members_, [&](const auto& entry) { return entry.second.lost || !meet_again; });
  for (auto& [id, member] : members_) {
    member.node.kept_rank = IsHeld(member.node) ? -1 : member.rank;
    epoch_ = std::max(epoch_, member.node.last_epoch + 1);  // it may have joined without a rank
    member.node.last_epoch = epoch_;
    member.last_progress = now;
  }
  ++epoch_;
  largest_allowed_ = largest_allowed;
  before_ = chosen_;
  chosen_ = 0;
  settled_ = false;
  reopened_ = true;
  if (!fills_as_before()) holds_.clear();
}

bool MemberTable::Drain(const std::map<Rank, double>& slow, absl::Time now, absl::Time until) {
  const std::optional<size_t> next = LayoutWithout(slow);
  if (!next) return false;
  for (const auto& [id, member] : members_) {
    if (slow.contains(member.rank)) holds_.push_back({member.node, until});
  }
  Open(now, *next);
  return true;
}

std::optional<size_t> MemberTable::LayoutWithout(const std::map<Rank, double>& slow) const {
  if (!settled_ || slow.empty() || !CanMeetAgain(nodes())) return std::nullopt;
  double longest = 0;
  for (const auto& [rank, share] : slow) longest = std::max(longest, share);
  const int32_t left = Available() - static_cast<int32_t>(slow.size());
  const auto next = std::ranges::find_if(
      layouts_, [&](const model::Layout& candidate) { return candidate.world_size() <= left; });
  if (next == layouts_.end()) return std::nullopt;
  const double ranks = static_cast<double>(next->world_size()) / layout().world_size();
  if (ranks <= 1 - longest) return std::nullopt;
  return next - layouts_.begin();
}

bool MemberTable::IsHeld(const JoinedNode& node) const {
  return std::ranges::any_of(holds_, [&](const Hold& hold) { return SameProcess(hold.node, node); });
}

int32_t MemberTable::Available() const {
  return static_cast<int32_t>(std::ranges::count_if(members_, [this](const auto& entry) {
    return !entry.second.lost && !IsHeld(entry.second.node);
  }));
}

size_t MemberTable::Filled() const {
  const int32_t ready = Available();
  const bool launched =
      std::ranges::any_of(members_, [](const auto& entry) { return entry.second.node.launch_rank >= 0; });
  const size_t end = launched ? 1 : layouts_.size();
  for (size_t i = largest_allowed_; i < end; ++i) {
    if (layouts_[i].world_size() <= ready) return i;
  }
  return layouts_.size();
}

absl::StatusOr<std::map<MemberTable::MemberId, Rank>> MemberTable::AssignRanks() {
  if (const size_t filled = Filled(); filled < layouts_.size()) chosen_ = filled;
  DR_ASSIGN_OR_RETURN(const std::vector<Rank> ranks, coordinator::AssignRanks(layout(), nodes()));
  std::map<MemberId, Rank> by_member;
  for (auto rank = ranks.begin(); auto& [id, member] : members_) {
    member.rank = IsHeld(member.node) ? -1 : *rank++;
    if (member.rank >= 0) by_member[id] = member.rank;
  }
  settled_ = true;
  largest_allowed_ = 0;
  return by_member;
}

std::vector<MemberTable::MemberId> MemberTable::members() const {
  std::vector<MemberId> members;
  for (const auto& [id, member] : members_) {
    if (!IsHeld(member.node)) members.push_back(id);
  }
  return members;
}

std::vector<JoinedNode> MemberTable::nodes() const {
  std::vector<JoinedNode> nodes;
  for (const auto& [id, member] : members_) {
    if (IsHeld(member.node)) continue;
    nodes.push_back(member.node);
    if (before_ != chosen_) nodes.back().kept_rank = -1;
  }
  return nodes;
}

}  // namespace deeprack::coordinator
