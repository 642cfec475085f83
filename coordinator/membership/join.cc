// Roster::OnHello: a worker asks for a place.
#include <spdlog/spdlog.h>

#include <utility>
#include <vector>

#include "coordinator/membership/roster.h"

namespace deeprack::coordinator {

void Roster::MakeRoomFor(const JoinedNode& node) {
  const std::lock_guard calling(callback_mutex_);
  std::vector<Loss> losses;
  {
    const std::lock_guard lock(mutex_);
    if (departing_) return;
    for (const Departure& departure : std::exchange(departures_, {})) {
      if (auto loss = table_.Lose(departure.member, departure.why)) losses.push_back(*std::move(loss));
    }
    if (const auto member = table_.FindProcess(node)) {
      auto loss = table_.Lose(*member, "its connection broke, and it has attached again");
      if (loss) losses.push_back(*std::move(loss));
      streams_.erase(*member);
    }
  }
  for (const Loss& loss : losses) Report(loss);
}

absl::StatusOr<int> Roster::OnHello(const JoinedNode& node, AttachStream* stream) {
  MakeRoomFor(node);
  const std::lock_guard lock(mutex_);
  absl::StatusOr<int> member = table_.Join(node, clock_->Now());
  if (!member.ok()) {
    spdlog::warn("a worker was refused: {}", std::string(member.status().message()));
    if (!table_.settled()) turned_down_ = member.status();  // WaitForWorld returns this status
    changed_.notify_all();
    return member;
  }
  streams_[*member] = stream;
  spdlog::info("worker joined from {} (pid {}; {}): {} of {}", node.host, node.pid, ToString(node.report),
               table_.nodes().size(), table_.largest().world_size());
  if (!table_.settled() && table_.fills_as_before()) Settle();
  return member;
}

}  // namespace deeprack::coordinator
