// Sizes of a step's inputs and results on the device, by the limits of a step (worker/engine/step_memory.h).
#pragma once

#include <cstdint>

#include "sizing/attention_sizes.h"
#include "sizing/rank_spec.h"

namespace deeprack::sizing {

// Bytes of the areas. Inputs and results hold the largest step. `adjustments` holds at least the
// adjustments of one row's logits; a step with more sends them in parts. The areas of drafts
// (worker/decoder/drafts.h) are 0 without the MTP layer.
struct StepAreas {
  int64_t inputs = 0, results = 0, adjustments = 0, draft_inputs = 0, draft_results = 0;

  int64_t total() const { return inputs + results + adjustments + draft_inputs + draft_results; }
};
StepAreas StepAreasOf(const RankSpec& spec, const AttentionSizes& attention);

}  // namespace deeprack::sizing
