// One dp group's share of a step, laid out for the kernels: the chunks of its sequences one after the other.
#pragma once

#include <cstdint>
#include <vector>

#include "base/ids.h"
#include "kernels/api/attention.h"
#include "model/step/step_plan.h"

namespace deeprack::worker {

struct Batch {
  std::vector<TokenId> token_ids;                     // [rows]
  std::vector<int32_t> positions;                     // [rows]
  std::vector<int64_t> slots;                         // [rows]: where the KV cache takes the row
  std::vector<kernels::AttentionSequence> sequences;  // block tables point into the plan
  std::vector<int32_t> plan_index;                    // [sequences]: its place in the plan
  // Rows of every dp group of the step, this one's included: [dp].
  std::vector<int64_t> rows_of_group;

  int64_t rows() const { return static_cast<int64_t>(token_ids.size()); }
  int64_t rows_of_all_groups() const;
};

// Fills `batch` with the plan's sequences of `dp_rank`, reusing its memory. The plan must be a checked one,
// and outlive the batch.
void FillBatch(const model::StepPlan& plan, int32_t dp_rank, int32_t dp, Batch& batch);

}  // namespace deeprack::worker
