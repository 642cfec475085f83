// The limits within which a scheduler plans.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/ids.h"
#include "model/step/message_size.h"
#include "model/step/prefill_attention.h"
#include "model/step/step_limits.h"

namespace deeprack::coordinator {

struct SchedulerLimits {
  int32_t max_step_tokens = model::kDefaultMaxStepTokens;  // per dp group and step
  int32_t max_sequences = model::kDefaultMaxSequences;     // sequences that run at once in one dp group
  int32_t max_waiting = 1024;  // queued requests; with more, Submit answers ResourceExhausted
  int32_t max_context = 0;     // prompt + output positions of a sequence
  int32_t dp = 1;
  int32_t blocks_per_dp_rank = 0;  // KV pages
  // kExpanded: only pages that lie wholly within a prompt are published and found.
  model::PrefillAttention prefill_attention = model::PrefillAttention::kAbsorbed;
  int64_t max_message_bytes = model::kMostMessageBytes;  // limit of a step's plan and of each rank's result

  // The most positions of one sequence: the context, or the positions that one dp group's cache holds if that
  // is less.
  int64_t positions() const {
    return std::min<int64_t>(max_context, int64_t{blocks_per_dp_rank} * kPageTokens);
  }
  // The bytes of a plan that are left for its sequences, after the chunks of max_step_tokens in every dp
  // group.
  int64_t plan_bytes_for_sequences() const {
    return max_message_bytes - model::kMostPlanHeaderBytes -
           int64_t{dp} * max_step_tokens * model::kMostIdBytes;
  }
};

}  // namespace deeprack::coordinator
