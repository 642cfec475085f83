// Device memory for a step's inputs, its results and its adjustments of logits.
#pragma once

#include "absl/status/statusor.h"
#include "sizing/step_areas.h"
#include "worker/device/arena.h"
#include "worker/device/staged_area.h"

namespace deeprack::worker {

struct StepMemory {
  Arena arena;  // sizes.total() of the device's memory
  StagedArea inputs;
  StagedArea results;
  StagedArea adjustments;
  StagedArea draft_inputs;  // these two are empty without the MTP layer
  StagedArea draft_results;

  static absl::StatusOr<StepMemory> Create(Device& device, const sizing::StepAreas& sizes);
};

}  // namespace deeprack::worker
