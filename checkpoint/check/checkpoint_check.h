// Holds a checkpoint against what its config says it must contain, before anything is loaded.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "checkpoint/checkpoint_reader.h"
#include "model/config/model_config.h"

namespace deeprack::checkpoint {

struct CheckpointSummary {
  int64_t tensors = 0;          // of the model, scales and MTP layers included
  int64_t bytes = 0;            // of these
  int64_t parameters = 0;       // of these, scales not counted
  int64_t ignored_tensors = 0;  // in the files but not of the model
  bool has_mtp = false;         // every declared MTP layer is stored
};

// Every tensor of the registry is there with its shape and a type that can be loaded: bf16, f16 or f32,
// matrices also in a block format; where the config says fp8, the quantised ones F8_E4M3 with an F32 scale of
// ceil(rows/128) x ceil(cols/128); where it says integers in groups, their parts
// (checkpoint/group_quantized). An MTP layer may be absent as a whole, not in part. Only headers are read.
// Errors: NotFound (a tensor, scale or part), InvalidArgument (type or shape).
absl::StatusOr<CheckpointSummary> CheckCheckpoint(const model::ModelConfig& config,
                                                  const CheckpointReader& reader);

}  // namespace deeprack::checkpoint
