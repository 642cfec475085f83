// Roster::OnEnd: a worker's stream has ended.
#include <optional>

#include "coordinator/membership/roster.h"

namespace deeprack::coordinator {
namespace {

// The delay of a goodbye. When a rank dies, mpirun ends the other ranks, and these say goodbye. A goodbye is
// reported this much later than a broken connection, so that the cause is reported first.
constexpr absl::Duration kGoodbyeWaits = absl::Milliseconds(200);

}  // namespace

void Roster::OnEnd(int member, const std::string& why, bool on_purpose) {
  const std::lock_guard calling(callback_mutex_);
  std::optional<Loss> loss;
  {
    const std::lock_guard lock(mutex_);
    streams_.erase(member);
    if (departing_) return;
    if (on_purpose && (table_.settled() || first())) {
      departures_.push_back({member, why, clock_->Now() + kGoodbyeWaits});
      return;
    }
    loss = table_.Lose(member, why);
  }
  if (loss) Report(*loss);
}

}  // namespace deeprack::coordinator
