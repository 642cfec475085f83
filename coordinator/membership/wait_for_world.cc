// Roster::WaitForWorld: waits until every rank has its worker.
#include "absl/strings/str_cat.h"
#include "coordinator/membership/roster.h"

namespace deeprack::coordinator {

absl::StatusOr<World> Roster::WaitForWorld(absl::Duration timeout) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, absl::ToChronoMilliseconds(timeout), [this] {
    return table_.settled() || (first() && (!losses_.empty() || !turned_down_.ok()));
  });
  if (first() && !losses_.empty()) return absl::UnavailableError(ToString(losses_.front()));
  if (first() && !turned_down_.ok()) return turned_down_;
  if (!table_.settled()) {
    std::string message = DescribeMissing(table_.layout(), table_.nodes());
    if (!turned_down_.ok()) absl::StrAppend(&message, "; a worker was refused: ", turned_down_.message());
    return absl::DeadlineExceededError(message);
  }
  World world{
      .epoch = table_.epoch(), .layout = table_.layout(), .members = std::vector<Member>(ranks_.size())};
  for (const auto& [member, rank] : ranks_) world.members[rank] = {rank, table_.node(member)};
  return world;
}

}  // namespace deeprack::coordinator
