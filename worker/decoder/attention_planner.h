// Chooses the form (absorbed or expanded) of latent attention for each row of a step. For kernels that divide
// attention into units of work on the host, also makes these plans (KernelSet::plan_mla, plan_expanded).
#pragma once

#include <cstdint>

#include "kernels/api/kernel_set.h"
#include "sizing/attention_sizes.h"
#include "worker/sequences/group_step.h"

namespace deeprack::worker {

class AttentionPlanner : public sizing::AttentionSizes {
 public:
  AttentionPlanner() = default;  // expands no rows and makes no plans
  // Makes no plans if the kernels or the model have none.
  AttentionPlanner(const kernels::KernelSet& kernels, const sizing::RankSpec& spec)
      : AttentionSizes(kernels, spec), plan_(kernels.plan_mla), plan_expanded_(kernels.plan_expanded) {}

  // The number of the chunk's tokens, from its first token on, that are computed in expanded form.
  int32_t ExpandedRowsOf(const StepSequence& sequence) const;
  // Writes the plan of absorbed attention to `plan` [BytesOf(shape) bytes]; BytesOf(shape) must be above 0.
  void Plan(const kernels::MlaShape& shape, const kernels::AttentionSequence* host_sequences,
            void* plan) const;
  // Writes the plan of expanded attention to `plan` [ExpandedBytes(sequences) bytes];
  // ExpandedBytes(sequences) must be above 0.
  void PlanExpanded(const kernels::AttentionSequence* host_sequences, int64_t sequences, void* plan) const;

 private:
  void (*plan_)(const kernels::MlaShape&, const kernels::AttentionSequence*, void*) = nullptr;
  void (*plan_expanded_)(const kernels::ExpandedShape&, const kernels::AttentionSequence*, int64_t,
                         void*) = nullptr;
};

}  // namespace deeprack::worker
