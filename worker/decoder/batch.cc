#include "worker/decoder/batch.h"

#include <numeric>

namespace deeprack::worker {

int64_t Batch::rows_of_all_groups() const {
  return std::accumulate(rows_of_group.begin(), rows_of_group.end(), int64_t{0});
}

void FillBatch(const model::StepPlan& plan, int32_t dp_rank, int32_t dp, Batch& batch) {
  batch.token_ids.clear();
  batch.positions.clear();
  batch.slots.clear();
  batch.sequences.clear();
  batch.plan_index.clear();
  batch.rows_of_group.assign(static_cast<size_t>(dp), 0);

  for (size_t index = 0; index < plan.sequences.size(); ++index) {
    const model::SequencePlan& sequence = plan.sequences[index];
    const int32_t rows = static_cast<int32_t>(sequence.token_ids.size());
    batch.rows_of_group[sequence.dp_rank] += rows;
    if (sequence.dp_rank != dp_rank) continue;
    batch.plan_index.push_back(static_cast<int32_t>(index));
    batch.sequences.push_back({.first_row = static_cast<int32_t>(batch.rows()),
                               .rows = rows,
                               .first_position = sequence.num_computed,
                               .block_table = sequence.block_table.data()});
    for (int32_t i = 0; i < rows; ++i) {
      const int32_t position = sequence.num_computed + i;
      const int64_t page = sequence.block_table[position / kPageTokens];
      batch.token_ids.push_back(sequence.token_ids[i]);
      batch.positions.push_back(position);
      batch.slots.push_back(page * kPageTokens + position % kPageTokens);
    }
  }
}

}  // namespace deeprack::worker
