// One dp group's share of a step, laid out for the kernels: the chunks of its sequences one after the other.
#pragma once

#include <cstdint>
#include <vector>

#include "base/ids.h"
#include "kernels/api/attention.h"
#include "model/budget/budget.h"
#include "model/step/step_plan.h"
#include "worker/device/staged_area.h"

namespace deeprack::worker {

struct Batch {
  // The host's view.
  struct Chunk {
    int32_t plan_index = 0;  // of its sequence in the plan
    int32_t first_row = 0;
    int32_t rows = 0;
  };
  std::vector<Chunk> chunks;
  // Rows of every dp group of the step, this one's included: [dp].
  std::vector<int64_t> rows_of_group;
  int64_t rows = 0;

  // The kernels' view, in the device's memory.
  const TokenId* token_ids = nullptr;                     // [rows]
  const int32_t* positions = nullptr;                     // [rows]
  const int64_t* slots = nullptr;                         // [rows]: where the KV cache takes the row
  const kernels::AttentionSequence* sequences = nullptr;  // [num_sequences], with their block tables
  int64_t num_sequences = 0;

  int64_t rows_of_all_groups() const;
};

// The most that one batch takes of a staged area.
int64_t BatchBytes(const model::StepLimits& limits);

// Fills `batch` with the plan's sequences of `dp_rank`, its kernels' view in `area`, which is not sent yet.
// The plan must be a checked one.
void FillBatch(const model::StepPlan& plan, int32_t dp_rank, int32_t dp, StagedArea& area, Batch& batch);

}  // namespace deeprack::worker
