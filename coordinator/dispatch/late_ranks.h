// Which ranks make the others wait in steps. Pure.
//
// A rank's time inside collectives includes its waiting for other ranks. So of ranks that have the same work,
// the one that is in collectives for the shortest time has come last, and the others have waited for it.
#pragma once

#include <span>
#include <vector>

#include "absl/time/time.h"
#include "base/ids.h"
#include "model/layout/layout.h"
#include "model/step/step_plan.h"
#include "model/step/step_result.h"

namespace deeprack::coordinator {

struct SlowRank {
  Rank rank = 0;
  double share = 0;  // of the time of steps, in which the others waited for this rank
  bool operator==(const SlowRank&) const = default;
};

class LateRanks {
 public:
  // A rank for which the others wait for a larger share of the time of steps is slow: it takes half as long
  // again as they do, or longer.
  static constexpr double kSlowShare = 1.0 / 3;

  // Shares are of `window` of time inside steps, one window after the other.
  LateRanks(const model::Layout& layout, absl::Duration window) : layout_(layout), window_(window) {}

  // Takes one step; timings[r] are rank r's. Returns for each rank how many seconds it came later than the
  // median of its peers: the ranks of its stage whose dp group has at least as many tokens in `plan`. A rank
  // with more work than all others is late for that and not slow, so nobody is compared with less work than
  // it had. Valid until the next call.
  const std::vector<double>& Add(const model::StepPlan& plan, std::span<const model::StepTimings> timings);

  // The slow ranks of the last whole window, by rank.
  const std::vector<SlowRank>& slow() const { return slow_; }
  int windows() const { return windows_; }  // the number of whole windows

 private:
  void EndWindow();

  const model::Layout layout_;
  const absl::Duration window_;
  std::vector<double> late_;        // of the last step, by rank
  std::vector<double> late_total_;  // of this window, by rank
  double step_seconds_ = 0;         // of this window
  std::vector<SlowRank> slow_;
  int windows_ = 0;
  std::vector<double> peers_;  // scratch
};

}  // namespace deeprack::coordinator
