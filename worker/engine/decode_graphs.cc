#include "worker/engine/decode_graphs.h"

#include <algorithm>
#include <bit>

#include "base/status_macros.h"

namespace deeprack::worker {

int64_t GraphBucket(int64_t rows, int64_t most) {
  if (rows < 1) return 0;
  int64_t bucket = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(rows)));
  if (bucket >= 16 && rows <= bucket / 4 * 3) bucket = bucket / 4 * 3;
  return bucket <= most ? bucket : 0;
}

int64_t GraphBucketOf(const GroupStep& step, int64_t most) {
  if (!step.decodes_only || step.rows_of_group.empty()) return 0;
  return GraphBucket(*std::max_element(step.rows_of_group.begin(), step.rows_of_group.end()), most);
}

absl::Status DecodeGraphs::Run(int64_t bucket, const std::function<absl::Status()>& queue) {
  const auto [entry, is_new] = graphs_.try_emplace(bucket);
  if (is_new) return queue();
  if (entry->second == nullptr) {
    DR_ASSIGN_OR_RETURN(entry->second, device_.Record(queue));
  }
  return entry->second->Replay();
}

}  // namespace deeprack::worker
