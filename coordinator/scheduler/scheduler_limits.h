// The limits within which a scheduler plans.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/ids.h"
#include "coordinator/scheduler/draft_policy.h"
#include "model/step/message_size.h"
#include "model/step/prefill_attention.h"
#include "model/step/step_limits.h"

namespace deeprack::coordinator {

struct SchedulerLimits {
  int32_t max_step_tokens = model::kDefaultMaxStepTokens;  // per dp group and step
  // In a step with decodes: tokens of prompts per dp group. 0: as PrefillPace learns. More if many wait
  // (PrefillTokensBesideDecodes).
  int32_t prefill_tokens_beside_decodes = 0;
  int32_t max_sequences = model::kDefaultMaxSequences;  // sequences that run at once in one dp group
  int32_t max_waiting = 1024;  // queued requests; with more, Submit answers ResourceExhausted
  int32_t max_context = 0;     // prompt + output positions of a sequence
  int32_t dp = 1;
  int32_t blocks_per_dp_rank = 0;  // KV pages
  // kExpanded: only pages that lie wholly within a prompt are published and found.
  model::PrefillAttention prefill_attention = model::PrefillAttention::kAbsorbed;
  int32_t steps_under_way = 2;  // steps that the ranks have before the first of them is applied
  DraftLimits drafts;           // of the loaded ranks
  int64_t max_message_bytes = model::kMostMessageBytes;  // limit of a group's plan and of each rank's result

  // The most positions of one sequence: the context, or the positions that one dp group's cache holds if that
  // is less.
  int64_t positions() const {
    return std::min<int64_t>(max_context, int64_t{blocks_per_dp_rank} * kPageTokens);
  }
  // The bytes of one group's plan that are for sequences that it opens. The other half is for the rows of all
  // sequences and for changes of their pages.
  int64_t bytes_for_opened() const { return max_message_bytes / 2; }
};

}  // namespace deeprack::coordinator
