// How rows travel to the experts of other ranks (exchange all_to_all): activations, then expert ids and
// weights.
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "kernels/api/kernel_set.h"
#include "model/config/model_config.h"

namespace deeprack::worker {

struct TravellingRows {
  DType type = DType::kBF16;     // the compute type, or kF8E4M3: as RoundedRowLayoutOf lays a row
  int64_t activation_bytes = 0;  // where the ids begin
  int64_t bytes = 0;             // from one row to the next; 0: none travel
};

// To ranks of so many experts, whose first product has weights like `gate_up`, with these kernels. All ranks
// of a stage must have the same.
TravellingRows TravellingRowsTo(const kernels::PackedWeight& gate_up, int64_t experts,
                                const model::ModelConfig& config, DType compute,
                                const kernels::KernelSet& kernels);

}  // namespace deeprack::worker
