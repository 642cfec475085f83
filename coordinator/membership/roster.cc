#include "coordinator/membership/roster.h"

#include <utility>

#include "base/check.h"

namespace deeprack::coordinator {

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

void Roster::OpenNextEpoch() {
  for (const Departure& departure : std::exchange(departures_, {})) {
    table_.Lose(departure.member, departure.why);
  }
  table_.OpenNextEpoch(clock_->Now());
  ranks_.clear();
  turned_down_ = absl::OkStatus();
  if (table_.complete()) Settle();
}

void Roster::Settle() {
  auto ranks = table_.AssignRanks();
  DR_CHECK(ranks.ok());  // each member was checked against the others when it joined
  ranks_ = *std::move(ranks);
  for (const auto& [id, stream] : streams_) {
    const auto member = ranks_.find(id);
    if (member != ranks_.end()) stream->Welcome(member->second, table_.epoch());
  }
  changed_.notify_all();
}

}  // namespace deeprack::coordinator
