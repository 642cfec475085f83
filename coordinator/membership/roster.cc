#include "coordinator/membership/roster.h"

#include <spdlog/spdlog.h>

#include <utility>

#include "base/check.h"

namespace deeprack::coordinator {

int Roster::expected() const {
  const std::lock_guard lock(mutex_);
  return table_.layout().world_size();
}

bool Roster::fills_larger() const {
  const std::lock_guard lock(mutex_);
  return table_.fills_larger();
}

bool Roster::FormLargestFilled() {
  const std::lock_guard lock(mutex_);
  if (table_.settled() || !table_.fills_any()) return false;
  Settle();
  return true;
}

int Roster::joined() const {
  const std::lock_guard lock(mutex_);
  return static_cast<int>(table_.nodes().size());
}

std::vector<Rank> Roster::missing() const {
  const std::lock_guard lock(mutex_);
  return MissingRanks(table_.layout(), table_.nodes());
}

void Roster::ExpectDepartures() {
  const std::lock_guard lock(mutex_);
  departing_ = true;
}

void Roster::Dismiss(const std::string& reason) {
  const std::lock_guard lock(mutex_);
  departing_ = true;
  for (const auto& [member, stream] : streams_) stream->Dismiss(reason);
}

void Roster::LoseDeparted() {
  for (const Departure& departure : std::exchange(departures_, {})) {
    table_.Lose(departure.member, departure.why);
  }
}

void Roster::OpenNextEpoch(bool smaller) {
  LoseDeparted();
  table_.OpenNextEpoch(clock_->Now(), smaller);
  BeginOpenEpoch();
}

void Roster::BeginOpenEpoch() {
  ranks_.clear();
  turned_down_ = absl::OkStatus();
  if (table_.fills_as_before()) Settle();
}

void Roster::Settle() {
  auto ranks = table_.AssignRanks();
  DR_CHECK(ranks.ok());  // each member was checked against the others when it joined
  ranks_ = *std::move(ranks);
  const std::vector<JoinedNode> nodes = table_.nodes();
  std::vector<Rank> of_nodes;
  for (const int member : table_.members()) {
    const auto found = ranks_.find(member);
    of_nodes.push_back(found == ranks_.end() ? -1 : found->second);
  }
  spdlog::info("epoch {} is formed as {}: {}", table_.epoch(), ToString(table_.layout()),
               DescribeRanks(nodes, of_nodes));
  for (const auto& [id, stream] : streams_) {
    const auto member = ranks_.find(id);
    if (member != ranks_.end()) stream->Welcome(member->second, table_.epoch());
  }
  changed_.notify_all();
}

}  // namespace deeprack::coordinator
