// Cluster, from a broken epoch to the next one that serves.
#include <spdlog/spdlog.h>

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "coordinator/cluster.h"

namespace deeprack::coordinator {

// Blocks until the serving epoch is over. Returns the reason.
absl::Status Cluster::AwaitBreak() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return stopping_ || !broken_.ok(); });
  return broken_;
}

// Runs on the step loop's thread. A step has failed, with or without the loss of a rank.
void Cluster::OnBroken(const absl::Status& why) {
  const std::lock_guard lock(mutex_);
  if (broken_.ok()) broken_ = why;
  changed_.notify_all();
}

// After an error the cluster never serves again.
absl::Status Cluster::Recover(absl::Status why) {
  const absl::Time lost_at = clock_->Now();
  while (!why.ok()) {
    spdlog::error("epoch {} is over: {}", ranks_.epoch, std::string(why.message()));
    DR_RETURN_IF_ERROR(limit_.EpochEnded(clock_->Now(), why));
    context_->readiness().SetRecovering(std::string(why.message()));
    loop_->Suspend(why);
    if (stopping_) return absl::OkStatus();  // a step may still be under way on the ranks of this epoch
    membership_->EndEpoch(ranks_.epoch);
    AnnounceWait();
    DR_ASSIGN_OR_RETURN(const World world, WaitForWorkers(options_.recovery_timeout, "--recovery-timeout"));
    UseRanks(world);
    const absl::StatusOr<LoadedModel> loaded = Load(world);
    why = loaded.status();
    if (loaded.ok()) loop_->Resume(ranks_.epoch, ranks_.executor.get(), loaded->kv_blocks);
    if (stopping_ || absl::IsDataLoss(why)) return why;
  }
  const absl::Duration pause = clock_->Now() - lost_at;
  context_->metrics().ObserveRecovery(pause);
  context_->readiness().SetReady();
  spdlog::warn("epoch {} serves, after a pause of {:.1f} s", ranks_.epoch, absl::ToDoubleSeconds(pause));
  return absl::OkStatus();
}

void Cluster::AnnounceWait() {
  const std::vector<Rank> missing = membership_->missing();
  context_->readiness().SetWorkers(membership_->joined(), membership_->expected(), missing);
  spdlog::warn("streams pause; {} of {} workers are there{}; waiting up to {} s (--recovery-timeout)",
               membership_->joined(), membership_->expected(),
               missing.empty() ? "" : absl::StrCat("; missing rank ", absl::StrJoin(missing, ", ")),
               options_.recovery_timeout);
}

}  // namespace deeprack::coordinator
