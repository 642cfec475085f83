#include "worker/engine/decode_graphs.h"

#include <algorithm>
#include <bit>
#include <vector>

#include "base/status_macros.h"

namespace deeprack::worker {

int64_t GraphBucket(int64_t rows, int64_t most) {
  if (rows < 1) return 0;
  int64_t bucket = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(rows)));
  if (bucket >= 16 && rows <= bucket / 4 * 3) bucket = bucket / 4 * 3;
  return bucket <= most ? bucket : 0;
}

int64_t GraphBucketOf(const model::StepPlan& plan, int32_t dp, int64_t most) {
  const bool decodes =
      std::all_of(plan.sequences.begin(), plan.sequences.end(), [](const model::SequencePlan& sequence) {
        return sequence.token_ids.size() == 1 && sequence.num_computed >= sequence.prompt_size &&
               sequence.sample && sequence.prompt_logprobs < 0;
      });
  if (!decodes) return 0;
  std::vector<int64_t> rows_of_group(static_cast<size_t>(dp));
  for (const model::SequencePlan& sequence : plan.sequences) ++rows_of_group[sequence.dp_rank];
  return GraphBucket(*std::max_element(rows_of_group.begin(), rows_of_group.end()), most);
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
