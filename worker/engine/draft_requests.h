// What the drafts after a step are made from, laid out for the Drafter.
#pragma once

#include <cstdint>
#include <vector>

#include "base/ids.h"
#include "worker/decoder/batch.h"
#include "worker/decoder/drafts.h"
#include "worker/sequences/group_step.h"

namespace deeprack::worker {

// Of the sequences of a step with next_drafts, in the step's order.
struct DraftRequests {
  std::vector<DraftRequest> requests;
  std::vector<std::vector<int64_t>> requests_of_group;  // [d][dp]
  std::vector<TokenId> next_tokens;                     // [batch.rows]
};

// `tokens`: StepOutcomes::tokens of the step. The views in the requests are the step's.
DraftRequests DraftRequestsOf(const GroupStep& step, const Batch& batch, const std::vector<TokenId>& tokens);

}  // namespace deeprack::worker
