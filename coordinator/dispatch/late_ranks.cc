#include "coordinator/dispatch/late_ranks.h"

#include <algorithm>
#include <utility>

namespace deeprack::coordinator {

const std::vector<double>& LateRanks::Add(const model::StepHeader& step,
                                          std::span<const model::StepTimings> timings) {
  late_.assign(timings.size(), 0);
  if (std::ssize(timings) != layout_.world_size() || std::ssize(step.rows_of_group) != layout_.dp)
    return late_;
  late_total_.resize(timings.size());
  slow_seconds_.resize(timings.size());
  double longest = 0;
  for (Rank begin = 0; begin < layout_.world_size(); begin += layout_.tp) {  // the ranks of a dp group
    const int32_t group = begin / layout_.tp % layout_.dp;
    const Rank stage = begin - group * layout_.tp;
    peers_.clear();
    for (Rank peer = stage; peer < stage + layout_.stage_size(); ++peer) {
      if (step.rows_of_group[(peer - stage) / layout_.tp] >= step.rows_of_group[group]) {
        peers_.push_back(timings[peer].collective_seconds);
      }
    }
    const auto middle = peers_.begin() + std::ssize(peers_) / 2;
    std::nth_element(peers_.begin(), middle, peers_.end());
    for (Rank rank = begin; rank < begin + layout_.tp; ++rank) {
      late_[rank] = std::max(0.0, *middle - timings[rank].collective_seconds);
      late_total_[rank] += late_[rank];
      longest = std::max(longest, timings[rank].total_seconds);
    }
  }
  step_seconds_ += longest;
  if (absl::Seconds(step_seconds_) >= window_) EndWindow();
  return late_;
}

void LateRanks::EndWindow() {
  slow_.clear();
  for (Rank rank = 0; rank < std::ssize(late_total_); ++rank) {
    const double share = step_seconds_ > 0 ? late_total_[rank] / step_seconds_ : 0;
    slow_seconds_[rank] = share > kSlowShare ? slow_seconds_[rank] + step_seconds_ : 0;
    if (share > kSlowShare) slow_.push_back({rank, share, slow_seconds_[rank]});
  }
  std::fill(late_total_.begin(), late_total_.end(), 0);
  step_seconds_ = 0;
  ++windows_;
}

}  // namespace deeprack::coordinator
