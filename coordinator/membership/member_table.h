// The members of the current epoch and the health of each. State and its rules only: time comes in as a
// parameter, nothing is locked.
#pragma once

#include <algorithm>
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
  // True: the epoch goes on. It did not have all its workers yet, so another worker may take the place, or
  // the worker had no rank in it.
  bool place_is_open = false;
};

std::string ToString(const Loss& loss);  // "rank 1 (pid 4711 on node3) was lost: no heartbeat for 3s"

struct HealthLimits {
  absl::Duration heartbeat_timeout = absl::Seconds(3);  // a worker without a heartbeat for this long is lost
  // A busy worker that finishes no step for this long is lost.
  absl::Duration stuck_timeout = absl::Minutes(2);
};

// One epoch after the other. An epoch is open until each rank of a layout has a worker. Then it is settled.
//
// With several layouts, workers join until the largest is full. If a smaller one is settled before that,
// workers that have no rank in it wait as members for a later epoch, and so do workers that join then.
class MemberTable {
 public:
  using MemberId = int;  // ascending in the order of joining; never used twice

  // `layouts`: at least one, in descending order of their numbers of ranks. `load_options` names the options
  // of this coordinator's loads in the largest layout, as JoinedNode::kept_options does.
  MemberTable(std::vector<model::Layout> layouts, Epoch epoch, const HealthLimits& limits,
              std::string load_options = "")
      : layouts_(std::move(layouts)),
        limits_(limits),
        load_options_(std::move(load_options)),
        epoch_(epoch) {}

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
  // come twice, unless there are several layouts.
  std::optional<Loss> Lose(MemberId member, const std::string& why);

  // Returns the members whose heartbeats or steps have stopped. Call it several times a second: a longer
  // pause means that this process itself was asleep, and then every member has the full time again.
  std::vector<Loss> CheckHealth(absl::Time now);

  // Opens the next epoch. Lost workers are no longer members. If the other workers can meet again
  // (CanMeetAgain), they stay, with their ranks; otherwise no worker stays. `smaller`: the next epoch has a
  // smaller layout than this one, if there is one. If the members fill no layout without the held workers
  // (Drain), no worker is held any longer: a slow rank is better than a rank that is missing.
  void OpenNextEpoch(absl::Time now, bool smaller = false);

  // True when the epoch is settled, and its members are faster without the workers of these ranks. slow[r] is
  // the share of the time of steps in which the other ranks wait for rank r. The members go on in the largest
  // layout that the other workers fill. The speed is taken to be proportional to the number of ranks. So a
  // layout of half the ranks is faster when the largest share is above a half, and a worker without a rank
  // may always take a slow rank's place.
  bool CanDrain(const std::map<Rank, double>& slow) const { return LayoutWithout(slow).has_value(); }
  // If CanDrain: opens the next epoch, whose members fill a layout at once, and returns true. The workers of
  // the ranks stay members and are held: until `until` they have no rank, and count as missing. A hold is of
  // the process: a worker that attaches again is still held, and a new process is not.
  bool Drain(const std::map<Rank, double>& slow, absl::Time now, absl::Time until);

  // True when the members fill some layout. Ranks of mpirun must fill the largest.
  bool fills_any() const { return Filled() < layouts_.size(); }
  // True when the members fill the layout of the epoch before, or a larger one. The first epoch needs the
  // largest layout. After OpenNextEpoch with `smaller` the next smaller layout will do.
  bool fills_as_before() const { return Filled() <= std::max(before_, largest_allowed_); }
  // True when the epoch is settled, and its members fill a larger layout.
  bool fills_larger() const { return settled_ && Filled() < chosen_; }
  // Call it when the members fill a layout. Gives the ranks of the largest one that they fill, which settles
  // the epoch. Members that are left over are not in the map.
  absl::StatusOr<std::map<MemberId, Rank>> AssignRanks();
  bool settled() const { return settled_; }
  bool first() const { return !reopened_; }  // no epoch has ended yet

  Epoch epoch() const { return epoch_; }
  const model::Layout& layout() const { return layouts_[chosen_]; }  // of an open epoch: the largest
  const model::Layout& largest() const { return layouts_.front(); }
  // In the order of joining, without the held workers. kept_rank is of this layout, or -1.
  std::vector<JoinedNode> nodes() const;
  std::vector<MemberId> members() const;  // in the same order
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

  // A worker that has no rank until `until`.
  struct Hold {
    JoinedNode node;
    absl::Time until;
  };

  bool IsHeld(const JoinedNode& node) const;
  // The members that may have a rank.
  int32_t Available() const;
  // The index of the largest layout, from largest_allowed_ on, that the members fill; layouts_.size(): none.
  size_t Filled() const;
  // The index of the layout in which the members are faster without the workers of these ranks.
  std::optional<size_t> LayoutWithout(const std::map<Rank, double>& slow) const;
  void Open(absl::Time now, size_t largest_allowed);  // OpenNextEpoch with largest_allowed_

  const std::vector<model::Layout> layouts_;
  size_t chosen_ = 0;           // index of the layout of this epoch
  size_t before_ = 0;           // and of the epoch before; kept ranks are of that layout
  size_t largest_allowed_ = 0;  // index of the largest layout that an open epoch may have
  const HealthLimits limits_;
  const std::string load_options_;
  Epoch epoch_;
  bool settled_ = false;
  bool reopened_ = false;  // true: this is not the first epoch
  std::map<MemberId, Member> members_;
  std::vector<Hold> holds_;
  MemberId next_ = 0;
  absl::Time last_check_ = absl::InfiniteFuture();
};

}  // namespace deeprack::coordinator
