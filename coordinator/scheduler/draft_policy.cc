#include "coordinator/scheduler/draft_policy.h"

namespace deeprack::coordinator {

int32_t DraftPolicy::Choose(int64_t sequences) {
  if (limits_.most == 0 || sequences == 0) return 0;
  if (!limits_.adapts) return limits_.most;
  int32_t drafts = Best(sequences, acceptance_);
  if (drafts < limits_.most && ++unmeasured_ >= kProbeEvery) {
    constexpr Acceptance kAll = {1, 1, 1};
    if (Best(sequences, kAll) == limits_.most) drafts = limits_.most;
  }
  if (drafts == limits_.most) unmeasured_ = 0;
  return drafts;
}

int32_t DraftPolicy::Best(int64_t sequences, const Acceptance& acceptance) const {
  const auto batch = static_cast<double>(sequences), read = static_cast<double>(limits_.rows_per_read);
  const double without = 1 / (read + batch);  // tokens of a sequence in a unit of time
  double tokens = 1, best = kLeastGain * without;
  int32_t drafts = 0;
  for (int32_t d = 1; d <= limits_.most; ++d) {
    tokens += acceptance[static_cast<size_t>(d - 1)];
    const double time = read + batch * (1 + d) + d * (read + batch) / limits_.layers;
    if (tokens / time < best) continue;
    best = tokens / time;
    drafts = d;
  }
  return drafts;
}

void DraftPolicy::Observe(int32_t offered, int32_t accepted) {
  for (int32_t i = 0; i < offered; ++i) {
    double& mean = acceptance_[static_cast<size_t>(i)];
    mean += ((i < accepted ? 1 : 0) - mean) / kAcceptanceWindow;
  }
}

}  // namespace deeprack::coordinator
