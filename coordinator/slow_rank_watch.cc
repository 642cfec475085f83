#include "coordinator/slow_rank_watch.h"

#include <spdlog/spdlog.h>

#include <utility>

namespace deeprack::coordinator {

SlowRankWatch::SlowRankWatch(const model::Layout& layout, std::vector<std::string> hosts, ApiContext* context,
                             std::function<void(const std::vector<SlowRank>&)> on_window)
    : late_(layout, kWindow),
      hosts_(std::move(hosts)),
      context_(context),
      on_window_(std::move(on_window)) {
  context_->metrics().SetRankHosts(hosts_);
  context_->readiness().SetSlowRanks({});
}

void SlowRankWatch::Add(const model::StepHeader& step, const std::vector<model::StepTimings>& timings) {
  const int windows = late_.windows();
  context_->metrics().ObserveLate(late_.Add(step, timings));
  if (late_.windows() == windows) return;
  Name();
  on_window_(late_.slow());
}

void SlowRankWatch::Name() {
  std::vector<Readiness::SlowRank> slow;
  std::set<Rank> named;
  for (const auto& [rank, share, seconds] : late_.slow()) {
    slow.push_back({rank, hosts_[rank], share});
    named.insert(rank);
    if (named_.contains(rank)) continue;
    spdlog::warn("rank {} on {} makes the other ranks wait for {:.0f}% of the time of steps", rank,
                 hosts_[rank], 100 * share);
  }
  for (const Rank rank : named_) {
    if (!named.contains(rank)) {
      spdlog::info("rank {} on {} no longer makes the other ranks wait", rank, hosts_[rank]);
    }
  }
  named_ = std::move(named);
  context_->readiness().SetSlowRanks(std::move(slow));
}

}  // namespace deeprack::coordinator
