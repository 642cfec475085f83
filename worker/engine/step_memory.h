// What a step brings to the device and takes back: inputs, results and the adjustments of logits, sized by
// the limits of a step.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "model/budget/budget.h"
#include "worker/decoder/attention_planner.h"
#include "worker/device/arena.h"
#include "worker/device/staged_area.h"

namespace deeprack::worker {

struct StepMemory {
  Arena arena;  // StepMemoryBytes of the device's memory
  StagedArea inputs;
  StagedArea results;
  StagedArea adjustments;

  static absl::StatusOr<StepMemory> Create(Device& device, const model::StepLimits& limits, int64_t vocab,
                                           const AttentionPlanner& planner);
};

int64_t StepMemoryBytes(const model::StepLimits& limits, int64_t vocab, const AttentionPlanner& planner);

}  // namespace deeprack::worker
