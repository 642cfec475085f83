#include "worker/decoder/batch.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"
#include "base/checked.h"

namespace deeprack::worker {
namespace {

// The pages that hold a sequence's positions at the end of its chunk.
int64_t PagesOf(const model::SequencePlan& sequence) {
  return CeilDiv(sequence.num_computed + static_cast<int64_t>(sequence.token_ids.size()), kPageTokens);
}

}  // namespace

int64_t Batch::rows_of_all_groups() const {
  return std::accumulate(rows_of_group.begin(), rows_of_group.end(), int64_t{0});
}

int64_t BatchBytes(const model::StepLimits& limits, const AttentionPlanner& planner) {
  const int64_t rows = limits.max_step_tokens;
  const int64_t sequences = std::min(rows, limits.max_sequences);
  return StagedArea::BytesOf<TokenId>(rows) + StagedArea::BytesOf<int32_t>(rows) +
         StagedArea::BytesOf<int64_t>(rows) + StagedArea::BytesOf<kernels::AttentionSequence>(sequences) +
         StagedArea::BytesOf<int32_t>(1) + StagedArea::BytesOf<std::byte>(planner.MostBytes(limits)) +
         sequences * StagedArea::BytesOf<BlockId>(CeilDiv(limits.max_context, kPageTokens));
}

void FillBatch(const model::StepPlan& plan, int32_t dp_rank, int32_t dp, int64_t padded_rows,
               const AttentionPlanner& planner, StagedArea& area, Batch& batch) {
  batch.chunks.clear();
  batch.rows_of_group.assign(static_cast<size_t>(dp), 0);
  batch.real_rows = 0;
  for (size_t index = 0; index < plan.sequences.size(); ++index) {
    const model::SequencePlan& sequence = plan.sequences[index];
    const int32_t rows = static_cast<int32_t>(sequence.token_ids.size());
    batch.rows_of_group[sequence.dp_rank] += rows;
    if (sequence.dp_rank != dp_rank) continue;
    batch.chunks.push_back({.plan_index = static_cast<int32_t>(index),
                            .first_row = static_cast<int32_t>(batch.real_rows),
                            .rows = rows});
    batch.real_rows += rows;
  }
  batch.rows = batch.real_rows;
  batch.num_sequences = std::ssize(batch.chunks);
  if (padded_rows > 0) {
    DR_CHECK(batch.num_sequences == batch.real_rows && batch.real_rows <= padded_rows);
    batch.rows = batch.num_sequences = padded_rows;
    std::fill(batch.rows_of_group.begin(), batch.rows_of_group.end(), padded_rows);
  }

  const Staged<TokenId> token_ids = area.Take<TokenId>(batch.rows);
  const Staged<int32_t> positions = area.Take<int32_t>(batch.rows);
  const Staged<int64_t> slots = area.Take<int64_t>(batch.rows);
  const auto sequences = area.Take<kernels::AttentionSequence>(batch.num_sequences);
  const Staged<int32_t> row_count = area.Take<int32_t>(1);
  for (size_t i = 0; i < batch.chunks.size(); ++i) {
    const Batch::Chunk& chunk = batch.chunks[i];
    const model::SequencePlan& sequence = plan.sequences[static_cast<size_t>(chunk.plan_index)];
    sequences.host[i] = {
        .first_row = chunk.first_row, .rows = chunk.rows, .first_position = sequence.num_computed};
    for (int32_t r = 0; r < chunk.rows; ++r) {
      const int32_t position = sequence.num_computed + r;
      const int64_t page = sequence.block_table[position / kPageTokens];
      token_ids.host[chunk.first_row + r] = sequence.token_ids[r];
      positions.host[chunk.first_row + r] = position;
      slots.host[chunk.first_row + r] = page * kPageTokens + position % kPageTokens;
    }
  }
  for (int64_t row = batch.real_rows; row < batch.rows; ++row) {
    token_ids.host[row] = 0;
    positions.host[row] = 0;
    slots.host[row] = -1;
    sequences.host[row] = {.first_row = static_cast<int32_t>(row), .rows = 1};
  }
  *row_count.host = static_cast<int32_t>(batch.real_rows);
  batch.token_ids = token_ids.device;
  batch.positions = positions.device;
  batch.slots = slots.device;
  batch.sequences = sequences.device;
  batch.host_sequences = sequences.host;
  batch.row_count = row_count.device;

  int64_t most_rows = 1;
  for (const Batch::Chunk& chunk : batch.chunks) most_rows = std::max<int64_t>(most_rows, chunk.rows);
  batch.attention_shape = planner.ShapeOf(batch.rows, batch.num_sequences, most_rows);
  const Staged<std::byte> attention = area.Take<std::byte>(planner.BytesOf(batch.attention_shape));
  const bool planned = planner.BytesOf(batch.attention_shape) > 0;
  batch.attention_plan = planned ? attention.device : nullptr;
  batch.host_attention_plan = planned ? attention.host : nullptr;
}

void FillBlockTables(const model::StepPlan& plan, const AttentionPlanner& planner, StagedArea& area,
                     Batch& batch) {
  for (size_t i = 0; i < batch.chunks.size(); ++i) {
    const model::SequencePlan& sequence = plan.sequences[static_cast<size_t>(batch.chunks[i].plan_index)];
    const Staged<BlockId> table = area.Take<BlockId>(PagesOf(sequence));
    std::copy_n(sequence.block_table.begin(), PagesOf(sequence), table.host);
    batch.host_sequences[i].block_table = table.device;
  }
  const int64_t sequences = std::ssize(batch.chunks);
  if (sequences < batch.num_sequences) {  // rows of padding read a page that somebody has, or the first
    const BlockId* page = sequences > 0 ? batch.host_sequences[0].block_table : nullptr;
    if (page == nullptr) {
      const Staged<BlockId> first = area.Take<BlockId>(1);
      *first.host = 0;
      page = first.device;
    }
    for (int64_t row = sequences; row < batch.num_sequences; ++row) {
      batch.host_sequences[row].block_table = page;
    }
  }
  if (batch.host_attention_plan != nullptr) {
    planner.Plan(batch.attention_shape, batch.host_sequences, batch.host_attention_plan);
  }
}

}  // namespace deeprack::worker
