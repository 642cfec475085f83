// Roster::OnHeartbeat: a worker is alive, and has finished this many steps.
#include "coordinator/membership/roster.h"

namespace deeprack::coordinator {

absl::Status Roster::OnHeartbeat(int member, uint64_t steps_finished, bool busy) {
  const std::lock_guard lock(mutex_);
  if (table_.Heartbeat(member, steps_finished, busy, clock_->Now())) return absl::OkStatus();
  return absl::AbortedError("its world of ranks is gone and cannot be made anew: start it again");
}

}  // namespace deeprack::coordinator
