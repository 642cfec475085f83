// What a step brings to the device and takes back, by the limits of a step (worker/engine/step_memory.h).
#pragma once

#include <cstdint>

#include "model/step/step_limits.h"
#include "sizing/attention_sizes.h"

namespace deeprack::sizing {

// The most that a step takes of the areas for its inputs and its results, and the size of the area for
// adjustments of logits, which holds at least those of any one row. Bytes.
struct StepAreas {
  int64_t inputs = 0, results = 0, adjustments = 0;

  int64_t total() const { return inputs + results + adjustments; }
};
StepAreas StepAreasOf(const model::StepLimits& limits, int64_t vocab, const AttentionSizes& attention);

}  // namespace deeprack::sizing
