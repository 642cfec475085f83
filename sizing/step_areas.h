// Sizes of a step's inputs and results on the device, by the limits of a step (worker/engine/step_memory.h).
#pragma once

#include <cstdint>

#include "model/step/step_limits.h"
#include "sizing/attention_sizes.h"

namespace deeprack::sizing {

// Bytes of the three areas. Inputs and results hold the largest step. `adjustments` holds at least the
// adjustments of one row's logits; a step with more sends them in parts.
struct StepAreas {
  int64_t inputs = 0, results = 0, adjustments = 0;

  int64_t total() const { return inputs + results + adjustments; }
};
StepAreas StepAreasOf(const model::StepLimits& limits, int64_t vocab, const AttentionSizes& attention);

}  // namespace deeprack::sizing
