// Checks a checkpoint against its config before anything is loaded.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "checkpoint/checkpoint_reader.h"
#include "model/config/model_config.h"

namespace deeprack::checkpoint {

struct CheckpointSummary {
  int64_t tensors = 0;          // tensors of the model, with scales and MTP layers
  int64_t bytes = 0;            // bytes of these tensors
  int64_t parameters = 0;       // elements of these tensors without scales
  int64_t ignored_tensors = 0;  // tensors in the files that the model does not use
  int64_t mtp_layers = 0;       // stored MTP layers, without those after one that counts as absent
};

// Why the first MTP layer cannot be used: the config declares none, none is stored, or one of its weights has
// a type that cannot be loaded. "": the layer can be used. Reads only headers. Call for a checkpoint that
// passes CheckCheckpoint.
std::string WhyNoMtp(const model::ModelConfig& config, const CheckpointReader& reader);
// By the config alone, before the checkpoint is there.
std::string WhyNoMtp(const model::ModelConfig& config);

// Checks that every tensor of the registry is stored with its shape and with a type that can be loaded: bf16,
// f16 or f32; a matrix may also be in a block format. If the config says fp8: quantised tensors are F8_E4M3
// with F32 scales [ceil(rows / 128), ceil(cols / 128)]. If the config says integers in groups: their parts
// are stored (checkpoint/group_quantized). An MTP layer may be absent as a whole, but not in part, except for
// its copies of embedding and head. An MTP layer with a type that cannot be loaded counts as absent. Reads
// only headers. Errors: NotFound (a tensor, its scales or a part is missing); InvalidArgument (a wrong type
// or shape).
absl::StatusOr<CheckpointSummary> CheckCheckpoint(const model::ModelConfig& config,
                                                  const CheckpointReader& reader);

}  // namespace deeprack::checkpoint
