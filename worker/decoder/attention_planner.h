// The forms of a step's latent attention, and its plans for kernels that cut it into work on the host
// (KernelSet::plan_mla, plan_expanded).
#pragma once

#include <cstdint>

#include "kernels/api/kernel_set.h"
#include "model/step/step_plan.h"
#include "sizing/attention_sizes.h"

namespace deeprack::worker {

class AttentionPlanner : public sizing::AttentionSizes {
 public:
  AttentionPlanner() = default;  // expands and plans nothing
  // Plans nothing either where the kernels or the model have no such plans.
  AttentionPlanner(const kernels::KernelSet& kernels, const sizing::RankSpec& spec)
      : AttentionSizes(kernels, spec), plan_(kernels.plan_mla), plan_expanded_(kernels.plan_expanded) {}

  // How many of the chunk's tokens, from its first on, are computed in expanded form.
  int32_t ExpandedRowsOf(const model::SequencePlan& sequence) const;
  // Into BytesOf(shape) bytes, which are not 0.
  void Plan(const kernels::MlaShape& shape, const kernels::AttentionSequence* host_sequences,
            void* plan) const;
  // Into ExpandedBytes(sequences) bytes, which are not 0.
  void PlanExpanded(const kernels::AttentionSequence* host_sequences, int64_t sequences, void* plan) const;

 private:
  void (*plan_)(const kernels::MlaShape&, const kernels::AttentionSequence*, void*) = nullptr;
  void (*plan_expanded_)(const kernels::ExpandedShape&, const kernels::AttentionSequence*, int64_t,
                         void*) = nullptr;
};

}  // namespace deeprack::worker
