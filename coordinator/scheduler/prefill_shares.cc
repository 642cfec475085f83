#include "coordinator/scheduler/prefill_shares.h"

#include <algorithm>
#include <limits>

namespace deeprack::coordinator {

int32_t PrefillTokensBesideDecodes(int64_t backlog, int32_t least) {
  const int64_t share = (backlog + kBacklogSteps - 1) / kBacklogSteps;
  return static_cast<int32_t>(std::clamp<int64_t>(share, least, std::numeric_limits<int32_t>::max()));
}

bool IsShortBeside(const PrefillDemand& first, const PrefillDemand& demand) {
  if (demand.priority != first.priority) return demand.priority < first.priority;
  return demand.tokens <= first.tokens / 2;
}

std::vector<int32_t> SharePrefillTokens(absl::Span<const PrefillDemand> demands, int32_t tokens) {
  std::vector<int32_t> shares(demands.size(), 0);
  const auto give = [&](size_t i, int32_t& left) {
    const int32_t given = std::min(demands[i].tokens - shares[i], left);
    shares[i] += given;
    left -= given;
  };
  std::vector<size_t> shortest;
  for (size_t i = 0; i < demands.size(); ++i) {
    if (IsShortBeside(demands[0], demands[i])) shortest.push_back(i);
  }
  std::stable_sort(shortest.begin(), shortest.end(),
                   [&](size_t a, size_t b) { return demands[a].tokens < demands[b].tokens; });
  const int32_t half = tokens / 2;
  int32_t short_left = half;
  for (const size_t i : shortest) give(i, short_left);
  int32_t left = tokens - (half - short_left);
  for (size_t i = 0; i < demands.size(); ++i) give(i, left);
  return shares;
}

}  // namespace deeprack::coordinator
