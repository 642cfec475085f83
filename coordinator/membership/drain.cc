// Roster::CanDrain and Drain: an epoch goes on without the workers that make the others wait.
#include <spdlog/spdlog.h>

#include "absl/strings/str_cat.h"
#include "coordinator/membership/roster.h"

namespace deeprack::coordinator {

bool Roster::CanDrain(Epoch epoch, const std::map<Rank, double>& slow) const {
  const std::lock_guard lock(mutex_);
  return !departing_ && table_.epoch() == epoch && table_.CanDrain(slow);
}

bool Roster::Drain(Epoch epoch, const std::map<Rank, double>& slow, absl::Duration cooldown) {
  const std::lock_guard lock(mutex_);
  if (departing_ || table_.epoch() != epoch) return false;
  LoseDeparted();
  std::string drained;
  for (const auto& [member, rank] : ranks_) {
    const auto found = slow.find(rank);
    if (found == slow.end()) continue;
    const JoinedNode& node = table_.node(member);
    absl::StrAppend(&drained, drained.empty() ? "" : ", ", "rank ", rank, " (pid ", node.pid, " on ",
                    node.host, ")");
  }
  const absl::Time now = clock_->Now();
  if (!table_.Drain(slow, now, now + cooldown)) return false;
  spdlog::warn("drained for {}: {}", absl::FormatDuration(cooldown), drained);
  BeginOpenEpoch();
  return true;
}

}  // namespace deeprack::coordinator
