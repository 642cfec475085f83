// Which ranks make the others wait in steps. Pure.
//
// A rank's time inside collectives includes its waiting for other ranks. So among ranks that have the same
// work, the rank with the shortest time inside collectives has come last, and the others have waited for it.
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
  double share = 0;    // of the time of steps, in which the others waited for this rank
  double seconds = 0;  // of time inside steps, during which the rank has been slow in each window
  bool operator==(const SlowRank&) const = default;
};

class LateRanks {
 public:
  // A rank is slow when the others wait for it during more than this share of the time of steps. Such a rank
  // takes at least half as long again as they do.
  static constexpr double kSlowShare = 1.0 / 3;

  // Shares are of `window` of time inside steps, one window after the other.
  LateRanks(const model::Layout& layout, absl::Duration window) : layout_(layout), window_(window) {}

  // Takes one step; timings[r] are rank r's. Returns for each rank how many seconds it came later than the
  // median of its peers: the ranks of its stage whose dp group has at least as many rows in `step`. No rank
  // is compared with ranks that had less work, because more work makes a rank late that is not slow. The
  // reference is valid until the next call.
  const std::vector<double>& Add(const model::StepHeader& step, std::span<const model::StepTimings> timings);

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
  std::vector<double> slow_seconds_;  // SlowRank::seconds, by rank; 0: not slow
  int windows_ = 0;
  std::vector<double> peers_;  // scratch
};

}  // namespace deeprack::coordinator
