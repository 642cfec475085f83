#include "coordinator/membership/member_table.h"

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"

namespace deeprack::coordinator {

std::string ToString(const Loss& loss) {
  return absl::StrCat(loss.rank < 0 ? "a worker" : absl::StrCat("rank ", loss.rank), " (pid ", loss.pid,
                      " on ", loss.host, ") was lost: ", loss.why);
}

absl::StatusOr<MemberTable::MemberId> MemberTable::Join(const JoinedNode& node, absl::Time now) {
  DR_RETURN_IF_ERROR(CheckJoin(layout_, nodes_, node));
  nodes_.push_back(node);
  health_.push_back({.rank = node.launch_rank, .last_heartbeat = now, .last_progress = now});
  return static_cast<MemberId>(nodes_.size() - 1);
}

void MemberTable::Heartbeat(MemberId member, uint64_t steps_finished, bool busy, absl::Time now) {
  DR_CHECK(member >= 0 && member < std::ssize(health_));
  Health& health = health_[member];
  // Idle until now, or a step has ended: either way the time for the next one starts here.
  if (!busy || !health.busy || steps_finished != health.steps_finished) health.last_progress = now;
  health.last_heartbeat = now;
  health.steps_finished = steps_finished;
  health.busy = busy;
}

std::optional<Loss> MemberTable::Lose(MemberId member, const std::string& why) {
  DR_CHECK(member >= 0 && member < std::ssize(health_));
  Health& health = health_[member];
  if (health.lost) return std::nullopt;
  health.lost = true;
  return Loss{health.rank, nodes_[member].host, nodes_[member].pid, why};
}

std::vector<Loss> MemberTable::CheckHealth(absl::Time now) {
  const bool overslept = now - last_check_ > limits_.heartbeat_timeout / 2;
  last_check_ = now;
  std::vector<Loss> losses;
  for (MemberId member = 0; member < std::ssize(health_); ++member) {
    Health& health = health_[member];
    if (health.lost) continue;
    if (overslept) {
      health.last_heartbeat = health.last_progress = now;
    } else if (now - health.last_heartbeat > limits_.heartbeat_timeout) {
      losses.push_back(
          *Lose(member, absl::StrCat("no heartbeat for ", absl::FormatDuration(limits_.heartbeat_timeout))));
    } else if (health.busy && now - health.last_progress > limits_.stuck_timeout) {
      losses.push_back(*Lose(member, absl::StrCat("stuck: it has work and finished no step for ",
                                                  absl::FormatDuration(limits_.stuck_timeout))));
    }
  }
  return losses;
}

absl::StatusOr<std::vector<Rank>> MemberTable::AssignRanks() {
  DR_ASSIGN_OR_RETURN(std::vector<Rank> ranks, coordinator::AssignRanks(layout_, nodes_));
  for (size_t i = 0; i < ranks.size(); ++i) health_[i].rank = ranks[i];
  return ranks;
}

}  // namespace deeprack::coordinator
