// Cluster, from a broken epoch to the next one that serves.
#include <spdlog/spdlog.h>

#include <chrono>
#include <cmath>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "coordinator/cluster.h"
#include "settings/setting.h"

namespace deeprack::coordinator {
namespace {

// The time between two looks for the workers of a larger layout, and for slow ranks.
constexpr auto kLooksForWorkers = std::chrono::milliseconds(500);

// For people: why these ranks are drained.
std::string DescribeSlow(const std::map<Rank, double>& slow, double seconds) {
  const auto text = [](std::string* out, const auto& rank) {
    absl::StrAppend(out, "rank ", rank.first, " (", std::lround(100 * rank.second),
                    "% of the time of steps)");
  };
  return absl::StrCat("slow for ", seconds, " seconds (", FlagOf(&Settings::slow_rank_timeout),
                      "): ", absl::StrJoin(slow, ", ", text));
}

}  // namespace

// Blocks until the serving epoch is over. Returns the reason. If a larger layout has its workers, the epoch
// is over once it has served long enough, so that workers that come and go do not pause the streams again and
// again. If ranks have been slow for slow_rank_timeout, the epoch is over once they can be drained.
Cluster::Break Cluster::AwaitBreak() {
  std::unique_lock lock(mutex_);
  const auto over = [this] { return stopping_ || !broken_.ok(); };
  if (layouts_.size() < 2 || options_.recovery_timeout == 0) {  // no epoch follows, or each is like this one
    changed_.wait(lock, over);
    return {.why = broken_};
  }
  while (!changed_.wait_for(lock, kLooksForWorkers, over)) {
    const std::map<Rank, double> slow = slow_;
    lock.unlock();
    const bool drains = !slow.empty() && membership_->CanDrain(ranks_.epoch, slow);
    const bool grows = limit_.ServedLongEnough(clock_->Now()) && membership_->fills_larger();
    lock.lock();
    if (over()) break;
    if (drains) {
      return {.why = absl::UnavailableError(DescribeSlow(slow, options_.slow_rank_timeout)),
              .planned = true,
              .slow = slow};
    }
    if (grows) {
      return {.why = absl::UnavailableError("the workers of a larger layout are there"), .planned = true};
    }
  }
  return {.why = broken_};
}

// Runs on the step loop's thread. A step has failed, with or without the loss of a rank.
void Cluster::OnBroken(const absl::Status& why) {
  const std::lock_guard lock(mutex_);
  if (broken_.ok()) broken_ = why;
  changed_.notify_all();
}

// After an error the cluster never serves again.
absl::Status Cluster::Recover(Break first) {
  const absl::Time lost_at = clock_->Now();
  absl::Status why = first.why;
  // True: the ranks were there and could not load, as when a machine that came back lacks memory or files.
  bool smaller = false;
  for (bool planned = first.planned; !why.ok(); planned = false) {
    spdlog::log(planned ? spdlog::level::warn : spdlog::level::err, "epoch {} is over: {}", ranks_.epoch,
                std::string(why.message()));
    if (planned) {
      limit_.EpochGivenUp(clock_->Now());
    } else {
      DR_RETURN_IF_ERROR(limit_.EpochEnded(clock_->Now(), why));
    }
    context_->readiness().SetRecovering(std::string(why.message()));
    loop_->Suspend(why);
    if (stopping_) return absl::OkStatus();  // a step may still be under way on the ranks of this epoch
    ranks_.executor.reset();  // ends the epoch's streams of steps: in order, if all ranks are there
    if (planned) membership_->Drain(ranks_.epoch, first.slow, absl::Seconds(options_.slow_rank_cooldown));
    membership_->EndEpoch(ranks_.epoch, smaller);
    AnnounceWait();
    DR_ASSIGN_OR_RETURN(const World world, WaitForWorkers(options_.recovery_timeout, "--recovery-timeout"));
    UseRanks(world);
    const absl::StatusOr<LoadedModel> loaded = Load(world);
    why = loaded.status();
    if (loaded.ok()) {
      loop_->Resume(ranks_.epoch, ranks_.executor.get(), loaded->kv_blocks, world.layout.dp);
    }
    smaller = !loaded.ok() && !absl::IsUnavailable(why) && world.layout != layouts_.back();
    if (stopping_ || (absl::IsDataLoss(why) && !smaller)) return why;
  }
  const absl::Duration pause = clock_->Now() - lost_at;
  if (!first.planned) context_->metrics().ObserveRecovery(pause);
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
