// Roster::OnLoss and Report: report each loss to the callbacks.
#include <spdlog/spdlog.h>

#include <utility>

#include "coordinator/membership/roster.h"

namespace deeprack::coordinator {

void Roster::OnLoss(std::function<void(const Loss&)> on_loss) {
  const std::lock_guard calling(callback_mutex_);
  std::vector<Loss> past;
  {
    const std::lock_guard lock(mutex_);
    past = losses_;
  }
  for (const Loss& loss : past) on_loss(loss);
  callbacks_.push_back(std::move(on_loss));
}

void Roster::Report(const Loss& loss) {
  {
    const std::lock_guard lock(mutex_);
    // The epoch of this loss is over, or another worker takes the lost worker's place in it.
    if (loss.place_is_open || loss.epoch != table_.epoch()) {
      spdlog::info("then {}", ToString(loss));
      return;
    }
    losses_.push_back(loss);
    if (reform_ && table_.settled()) OpenNextEpoch();
    changed_.notify_all();
  }
  for (const auto& callback : callbacks_) callback(loss);
}

}  // namespace deeprack::coordinator
