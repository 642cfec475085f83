// `deeprack plan MODEL`: bytes per rank, before any of them is taken.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "cli/serve/serve_options.h"
#include "model/config/model_config.h"
#include "model/tensors/tensor_types.h"

namespace deeprack::cli {

// A table: a line per rank (equal neighbours as one) with its weights, the workspace of a step and the size
// of a KV page, and how many tokens fit into options.kv_bytes if set. `types` are the checkpoint's.
// FailedPrecondition: the layout does not fit the model.
absl::StatusOr<std::string> PlanTable(const model::ModelConfig& config, const ServeOptions& options,
                                      const model::TensorTypes& types = {});

int Plan(const ServeOptions& options);

}  // namespace deeprack::cli
