// Whether a backend's kernels can compute a model.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "kernels/api/kernel_set.h"
#include "model/budget/packed_tensors.h"
#include "model/config/model_config.h"

namespace deeprack::worker {

// FailedPrecondition when the model needs an operation that the table lacks.
absl::Status CheckKernels(const model::ModelConfig& config, const kernels::KernelSet& kernels);

// FailedPrecondition when a weight is to be kept in a block format that the table's products do not take.
absl::Status CheckWeightTypes(const std::vector<model::PackedTensor>& weights,
                              const kernels::KernelSet& kernels);

}  // namespace deeprack::worker
