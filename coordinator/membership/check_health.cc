// Roster::CheckHealth: the background check of every member.
#include "coordinator/membership/roster.h"

#include <utility>

namespace deeprack::coordinator {

void Roster::CheckHealth() {
  const std::lock_guard calling(callback_mutex_);
  std::vector<Loss> losses;
  {
    const std::lock_guard lock(mutex_);
    if (departing_) return;
    const absl::Time now = clock_->Now();
    losses = table_.CheckHealth(now);
    std::erase_if(departures_, [&](const Departure& departure) {
      if (now < departure.report_at) return false;
      if (auto loss = table_.Lose(departure.member, departure.why)) losses.push_back(*std::move(loss));
      return true;
    });
  }
  for (const Loss& loss : losses) Report(loss);
}

}  // namespace deeprack::coordinator
