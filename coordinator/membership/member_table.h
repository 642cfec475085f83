// Who has joined, and how each is doing. State and its rules only: time comes in as a parameter, nothing is
// locked.
#pragma once

#include <cstdint>
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
  Rank rank = -1;  // -1: it was lost before ranks were given out, and had no launch rank
  std::string host;
  int64_t pid = 0;
  std::string why;
};

std::string ToString(const Loss& loss);  // "rank 1 (pid 4711 on node3) was lost: no heartbeat for 3s"

struct HealthLimits {
  absl::Duration heartbeat_timeout = absl::Seconds(3);  // silence that means death
  absl::Duration stuck_timeout = absl::Minutes(2);      // busy with steps, and none finished for so long
};

class MemberTable {
 public:
  using MemberId = int;  // in the order of joining

  MemberTable(const model::Layout& layout, const HealthLimits& limits) : layout_(layout), limits_(limits) {}

  // As CheckJoin of placement.
  absl::StatusOr<MemberId> Join(const JoinedNode& node, absl::Time now);

  void Heartbeat(MemberId member, uint64_t steps_finished, bool busy, absl::Time now);

  // The member is gone. nullopt when it was lost before.
  std::optional<Loss> Lose(MemberId member, const std::string& why);

  // Those whose heartbeats or steps have stopped; to be called several times a second. When it was not called
  // for long, this process was asleep itself, and everyone is given time anew.
  std::vector<Loss> CheckHealth(absl::Time now);

  bool complete() const { return std::ssize(nodes_) == layout_.world_size(); }
  // Once complete: entry i is member i's rank. Settles them.
  absl::StatusOr<std::vector<Rank>> AssignRanks();

  const model::Layout& layout() const { return layout_; }
  const std::vector<JoinedNode>& nodes() const { return nodes_; }

 private:
  struct Health {
    Rank rank = -1;
    bool lost = false;
    absl::Time last_heartbeat;
    absl::Time last_progress;  // the last finished step, or the last time it had nothing to do
    uint64_t steps_finished = 0;
    bool busy = false;
  };

  const model::Layout layout_;
  const HealthLimits limits_;
  std::vector<JoinedNode> nodes_;
  std::vector<Health> health_;  // of nodes_
  absl::Time last_check_ = absl::InfiniteFuture();
};

}  // namespace deeprack::coordinator
