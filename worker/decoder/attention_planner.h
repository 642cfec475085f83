// The forms of a step's latent attention, and its plans for kernels that cut it into work on the host
// (KernelSet::plan_mla, plan_expanded).
#pragma once

#include <cstdint>

#include "kernels/api/kernel_set.h"
#include "model/budget/budget.h"
#include "model/config/model_config.h"
#include "model/layout/layout.h"
#include "model/step/prefill_attention.h"
#include "model/step/step_plan.h"

namespace deeprack::worker {

class AttentionPlanner {
 public:
  struct Spec {
    const model::ModelConfig& config;
    const model::Layout& layout;
    model::PrefillAttention prefill = model::PrefillAttention::kAbsorbed;
    DType compute = DType::kBF16;
    DType cache_type = DType::kBF16;
    model::StepLimits limits;
  };

  AttentionPlanner() = default;  // expands and plans nothing
  // Plans nothing either where the kernels or the model have no such plans.
  AttentionPlanner(const kernels::KernelSet& kernels, const Spec& spec);

  // How many of the chunk's tokens, from its first on, are computed in expanded form.
  int32_t ExpandedRowsOf(const model::SequencePlan& sequence) const;
  // The largest step's; heads 0: nothing is expanded.
  const kernels::ExpandedShape& expanded() const { return expanded_; }

  // Of a batch of so many rows in so many sequences, of which none has more than most_rows. heads 0: nothing
  // is planned.
  kernels::MlaShape ShapeOf(int64_t rows, int64_t sequences, int64_t most_rows) const;
  int64_t BytesOf(const kernels::MlaShape& shape) const;
  // Of the plan for the expanded rows of so many sequences.
  int64_t ExpandedBytes(int64_t sequences) const;
  // The most for any batch within the limits.
  int64_t MostBytes(const model::StepLimits& limits) const;
  // Into BytesOf(shape) bytes, which are not 0.
  void Plan(const kernels::MlaShape& shape, const kernels::AttentionSequence* host_sequences,
            void* plan) const;
  // Into ExpandedBytes(sequences) bytes, which are not 0.
  void PlanExpanded(const kernels::AttentionSequence* host_sequences, int64_t sequences, void* plan) const;

 private:
  kernels::MlaShape model_;  // what does not change from step to step
  kernels::ExpandedShape expanded_;
  int64_t max_context_ = 0;
  int64_t (*bytes_)(const kernels::MlaShape&) = nullptr;
  void (*plan_)(const kernels::MlaShape&, const kernels::AttentionSequence*, void*) = nullptr;
  int64_t (*expanded_bytes_)(const kernels::ExpandedShape&, int64_t, int64_t) = nullptr;
  void (*plan_expanded_)(const kernels::ExpandedShape&, const kernels::AttentionSequence*, int64_t,
                         void*) = nullptr;
};

}  // namespace deeprack::worker
