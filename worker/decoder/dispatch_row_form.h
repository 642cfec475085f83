// The form of rows that are sent to experts of other ranks (exchange all_to_all): activations, then expert
// ids, then expert weights.
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "kernels/api/kernel_set.h"
#include "model/config/model_config.h"

namespace deeprack::worker {

struct DispatchRowForm {
  DType type = DType::kBF16;  // of the activations: the compute type, or kF8E4M3 (layout: RoundedRowLayoutOf)
  int64_t activation_bytes = 0;  // bytes from a row's beginning to its expert ids
  int64_t bytes = 0;             // bytes from one row to the next; 0: no rows are sent
};

// The form of rows sent to ranks that hold `experts` experts each. `gate_up` is the weight of these experts'
// first product. The form must be the same on all ranks of a stage.
DispatchRowForm DispatchRowFormOf(const kernels::PackedWeight& gate_up, int64_t experts,
                                const model::ModelConfig& config, DType compute,
                                const kernels::KernelSet& kernels);

}  // namespace deeprack::worker
