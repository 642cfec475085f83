#include "worker/decoder/attention_planner.h"

#include <algorithm>

namespace deeprack::worker {

int32_t AttentionPlanner::ExpandedRowsOf(const StepSequence& sequence) const {
  if (expanded().heads == 0) return 0;
  return std::clamp(sequence.prompt_size - sequence.num_computed, 0, sequence.rows);
}

void AttentionPlanner::PlanExpanded(const kernels::AttentionSequence* host_sequences, int64_t sequences,
                                    void* plan) const {
  plan_expanded_(expanded(), host_sequences, sequences, plan);
}

void AttentionPlanner::Plan(const kernels::MlaShape& shape, const kernels::AttentionSequence* host_sequences,
                            void* plan) const {
  plan_(shape, host_sequences, plan);
}

}  // namespace deeprack::worker
