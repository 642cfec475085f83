// Roster::Expel: removes a member that sends heartbeats but does no work for its epoch.
#include <optional>

#include "coordinator/membership/roster.h"

namespace deeprack::coordinator {

void Roster::Expel(Epoch epoch, Rank rank, const std::string& why) {
  const std::lock_guard calling(callback_mutex_);
  std::optional<Loss> loss;
  {
    const std::lock_guard lock(mutex_);
    if (departing_ || table_.epoch() != epoch) return;
    for (const auto& [member, its_rank] : ranks_) {
      if (its_rank == rank) loss = table_.Lose(member, why);
    }
  }
  if (loss) Report(*loss);
}

}  // namespace deeprack::coordinator
