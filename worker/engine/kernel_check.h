// Checks that a backend's kernels can compute a model.
#pragma once

#include "absl/status/status.h"
#include "kernels/api/kernel_set.h"
#include "model/config/model_config.h"

namespace deeprack::worker {

// FailedPrecondition if the model needs an operation that `kernels` lacks.
absl::Status CheckKernels(const model::ModelConfig& config, const kernels::KernelSet& kernels);

}  // namespace deeprack::worker
