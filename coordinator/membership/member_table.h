// The members of the current epoch and the health of each. State and its rules only: time comes in as a
// parameter, nothing is locked.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/ids.h"
#include "coordinator/placement/placement.h"
#include "model/layout/layout.h"

namespace deeprack::coordinator {

// A worker that is gone or does no work.
struct Loss {
  Epoch epoch = 0;  // the epoch of which it was a member
  Rank rank = -1;   // -1: the worker was lost before ranks were given out, and had no launch rank
  std::string host;
  int64_t pid = 0;
  std::string why;
  // True: the epoch did not have all its workers yet, so another worker may take the place.
  bool place_is_open = false;
};

std::string ToString(const Loss& loss);  // "rank 1 (pid 4711 on node3) was lost: no heartbeat for 3s"

struct HealthLimits {
  absl::Duration heartbeat_timeout = absl::Seconds(3);  // a worker without a heartbeat for this long is lost
  // A busy worker that finishes no step for this long is lost.
  absl::Duration stuck_timeout = absl::Minutes(2);
};

// One epoch after the other. An epoch is open until each rank has a worker. Then it is settled.
class MemberTable {
 public:
  using MemberId = int;  // ascending in the order of joining; never used twice

  // `load_options` names the options of this coordinator's loads, as JoinedNode::kept_options does.
  MemberTable(const model::Layout& layout, Epoch epoch, const HealthLimits& limits,
              std::string load_options = "")
      : layout_(layout), limits_(limits), load_options_(std::move(load_options)), epoch_(epoch) {}

  // The epoch becomes later than the worker's last one. The worker keeps node.kept_rank if the layout has
  // that rank, its weights are of this coordinator's options, and no member of a later epoch has the same
  // rank. Errors: those of CheckJoin (placement.h), and InvalidArgument (an epoch that no coordinator
  // reaches).
  absl::StatusOr<MemberId> Join(JoinedNode node, absl::Time now);

  // The member that is the same process: its new stream has come before the end of its old stream.
  std::optional<MemberId> FindProcess(const JoinedNode& node) const;

  // Returns false if the worker is no longer a member.
  bool Heartbeat(MemberId member, uint64_t steps_finished, bool busy, absl::Time now);

  // The member is gone. Returns nullopt if it was lost before, or is no longer a member. In an open epoch
  // after the first, another worker may take the member's place. In the first epoch no worker is expected to
  // come twice.
  std::optional<Loss> Lose(MemberId member, const std::string& why);

  // Returns the members whose heartbeats or steps have stopped. Call it several times a second: a longer
  // pause means that this process itself was asleep, and then every member has the full time again.
  std::vector<Loss> CheckHealth(absl::Time now);

  // Opens the next epoch. Lost workers are no longer members. If the other workers can meet again
  // (CanMeetAgain), they stay, with their ranks; otherwise no worker stays.
  void OpenNextEpoch(absl::Time now);

  bool complete() const { return std::ssize(members_) == layout_.world_size(); }
  // Call it once the epoch is complete. Gives each member its rank, which settles the epoch.
  absl::StatusOr<std::map<MemberId, Rank>> AssignRanks();
  bool settled() const { return settled_; }
  bool first() const { return !reopened_; }  // no epoch has ended yet

  Epoch epoch() const { return epoch_; }
  const model::Layout& layout() const { return layout_; }
  std::vector<JoinedNode> nodes() const;  // in the order of joining
  const JoinedNode& node(MemberId member) const { return members_.at(member).node; }

 private:
  struct Member {
    JoinedNode node;
    Rank rank = -1;
    bool lost = false;
    absl::Time last_heartbeat;
    absl::Time last_progress;  // time of the last finished step, or the last time without work
    uint64_t steps_finished = 0;
    bool busy = false;
  };

  const model::Layout layout_;
  const HealthLimits limits_;
  const std::string load_options_;
  Epoch epoch_;
  bool settled_ = false;
  bool reopened_ = false;  // true: this is not the first epoch
  std::map<MemberId, Member> members_;
  MemberId next_ = 0;
  absl::Time last_check_ = absl::InfiniteFuture();
};

}  // namespace deeprack::coordinator
