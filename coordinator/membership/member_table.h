// Who has joined, and how each is doing. State and its rules only: time comes in as a parameter, nothing is
// locked.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/ids.h"
#include "coordinator/placement/placement.h"
#include "model/layout/layout.h"

namespace deeprack::coordinator {

// A worker that is gone, or as good as gone.
struct Loss {
  Epoch epoch = 0;  // that it was a member of
  Rank rank = -1;   // -1: it was lost before ranks were given out, and had no launch rank
  std::string host;
  int64_t pid = 0;
  std::string why;
  bool place_is_open = false;  // it left before its epoch had all its workers, and another may take its place
};

std::string ToString(const Loss& loss);  // "rank 1 (pid 4711 on node3) was lost: no heartbeat for 3s"

struct HealthLimits {
  absl::Duration heartbeat_timeout = absl::Seconds(3);  // silence that means death
  absl::Duration stuck_timeout = absl::Minutes(2);      // busy with steps, and none finished for so long
};

// One epoch after the other: open to workers until there is one for each rank, then settled.
class MemberTable {
 public:
  using MemberId = int;  // in the order of joining; never given twice

  MemberTable(const model::Layout& layout, Epoch epoch, const HealthLimits& limits)
      : layout_(layout), limits_(limits), epoch_(epoch) {}

  // As CheckJoin of placement.
  absl::StatusOr<MemberId> Join(const JoinedNode& node, absl::Time now);

  // False: it is no member any more.
  bool Heartbeat(MemberId member, uint64_t steps_finished, bool busy, absl::Time now);

  // The member is gone. nullopt when it was lost before, or was no member any more. Places of an open epoch
  // after the first are open again then; in the first one nobody is expected to come twice.
  std::optional<Loss> Lose(MemberId member, const std::string& why);

  // Those whose heartbeats or steps have stopped; to be called several times a second. When it was not called
  // for long, this process was asleep itself, and everyone is given time anew.
  std::vector<Loss> CheckHealth(absl::Time now);

  // The next epoch is open. Those that are lost are no members any more, nor are the others unless their
  // ranks can meet again (CanMeetAgain): then they keep their ranks.
  void OpenNextEpoch(absl::Time now);

  bool complete() const { return std::ssize(members_) == layout_.world_size(); }
  // Once complete: gives each member its rank, which settles the epoch.
  absl::StatusOr<std::map<MemberId, Rank>> AssignRanks();
  bool settled() const { return settled_; }

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
    absl::Time last_progress;  // the last finished step, or the last time it had nothing to do
    uint64_t steps_finished = 0;
    bool busy = false;
  };

  const model::Layout layout_;
  const HealthLimits limits_;
  Epoch epoch_;
  bool settled_ = false;
  bool reopened_ = false;  // this is not the first epoch
  std::map<MemberId, Member> members_;
  MemberId next_ = 0;
  absl::Time last_check_ = absl::InfiniteFuture();
};

}  // namespace deeprack::coordinator
