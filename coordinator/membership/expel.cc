// Roster::Expel: removes members that send heartbeats but do no work for their epoch.
#include <utility>
#include <vector>

#include "coordinator/membership/roster.h"

namespace deeprack::coordinator {

void Roster::Expel(Epoch epoch, const std::map<Rank, std::string>& why) {
  const std::lock_guard calling(callback_mutex_);
  std::vector<Loss> losses;
  {
    const std::lock_guard lock(mutex_);
    if (departing_ || table_.epoch() != epoch) return;
    for (const auto& [member, rank] : ranks_) {
      const auto reason = why.find(rank);
      if (reason == why.end()) continue;
      if (auto loss = table_.Lose(member, reason->second)) losses.push_back(*std::move(loss));
    }
  }
  for (const Loss& loss : losses) Report(loss);
}

}  // namespace deeprack::coordinator
