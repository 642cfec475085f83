// The plan of a step's latent attention, for kernels that cut it into work on the host (KernelSet::plan_mla).
#pragma once

#include <cstdint>

#include "kernels/api/kernel_set.h"
#include "model/budget/budget.h"
#include "model/config/model_config.h"
#include "model/layout/layout.h"

namespace deeprack::worker {

class AttentionPlanner {
 public:
  AttentionPlanner() = default;  // plans nothing
  // Plans nothing either where the kernels or the model have no such plans. `cache_type` is the KV cache's.
  AttentionPlanner(const kernels::KernelSet& kernels, const model::ModelConfig& config,
                   const model::Layout& layout, DType cache_type, int64_t max_context);

  // Of a batch of so many rows in so many sequences, of which none has more than most_rows. heads 0: nothing
  // is planned.
  kernels::MlaShape ShapeOf(int64_t rows, int64_t sequences, int64_t most_rows) const;
  int64_t BytesOf(const kernels::MlaShape& shape) const;
  // The most for any batch within the limits.
  int64_t MostBytes(const model::StepLimits& limits) const;
  // Into BytesOf(shape) bytes, which are not 0.
  void Plan(const kernels::MlaShape& shape, const kernels::AttentionSequence* host_sequences,
            void* plan) const;

 private:
  kernels::MlaShape model_;  // what does not change from step to step
  int64_t (*bytes_)(const kernels::MlaShape&) = nullptr;
  void (*plan_)(const kernels::MlaShape&, const kernels::AttentionSequence*, void*) = nullptr;
};

}  // namespace deeprack::worker
