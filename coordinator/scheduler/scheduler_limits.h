// What a scheduler must keep to.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/ids.h"
#include "model/step/prefill_attention.h"
#include "model/step/step_limits.h"

namespace deeprack::coordinator {

struct SchedulerLimits {
  int32_t max_step_tokens = model::kDefaultMaxStepTokens;  // per dp group and step
  int32_t max_sequences = model::kDefaultMaxSequences;     // running at once, over all dp groups
  int32_t max_waiting = 1024;  // queued; beyond it Submit answers ResourceExhausted
  int32_t max_context = 0;     // prompt + output positions of a sequence
  int32_t dp = 1;
  int32_t blocks_per_dp_rank = 0;  // KV pages
  // kExpanded: only pages that lie wholly within a prompt are published and found.
  model::PrefillAttention prefill_attention = model::PrefillAttention::kAbsorbed;

  // That a sequence can reach: the context, or what one dp group's cache holds if that is less.
  int64_t positions() const {
    return std::min<int64_t>(max_context, int64_t{blocks_per_dp_rank} * kPageTokens);
  }
};

}  // namespace deeprack::coordinator
