#include "worker/decoder/batch.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"
#include "base/checked.h"

namespace deeprack::worker {
namespace {

// The number of pages that the sequence's positions take after its chunk.
int64_t PagesOf(const StepSequence& sequence) {
  return CeilDiv(int64_t{sequence.num_computed} + sequence.rows, kPageTokens);
}

// The chunk's absorbed rows that attention takes as one sequence, the first ones. Each further row is a
// sequence of its own.
int32_t RowsTogether(const Batch::Chunk& chunk, const Batch& batch) {
  const int32_t absorbed = chunk.rows - chunk.expanded_rows;
  return batch.row_by_row ? std::min(absorbed, 1) : std::max(0, absorbed - chunk.drafts);
}

// How many sequences attention makes of the chunk's absorbed rows.
int32_t SequencesOf(const Batch::Chunk& chunk, const Batch& batch) {
  const int32_t together = RowsTogether(chunk, batch);
  return std::min(together, 1) + chunk.rows - chunk.expanded_rows - together;
}

// Counts the rows of the chunks and of the padding sequences, and gives chunks their rows.
void DivideRows(const GroupStep& step, int64_t padded_rows, const AttentionPlanner& planner, Batch& batch) {
  batch.chunks.clear();
  batch.padding.clear();
  batch.rows_of_group.assign(step.rows_of_group.begin(), step.rows_of_group.end());
  batch.row_by_row = false;
  batch.absorbed_rows = batch.expanded_rows = 0;
  batch.num_sequences = batch.num_expanded = 0;
  for (size_t index = 0; index < step.sequences.size(); ++index) {
    const StepSequence& sequence = step.sequences[index];
    if (sequence.padding) continue;
    const int32_t rows = sequence.rows;
    const int32_t expanded = planner.ExpandedRowsOf(sequence);
    batch.chunks.push_back({.index = static_cast<int32_t>(index),
                            .rows = rows,
                            .expanded_rows = expanded,
                            .drafts = sequence.drafts,
                            .first_expanded_row = static_cast<int32_t>(batch.expanded_rows),
                            .first_absorbed_row = static_cast<int32_t>(batch.absorbed_rows)});
    batch.absorbed_rows += rows - expanded;
    batch.expanded_rows += expanded;
    batch.num_sequences += SequencesOf(batch.chunks.back(), batch);
    batch.num_expanded += expanded > 0 ? 1 : 0;
  }
  batch.padding_begin = batch.absorbed_rows;
  if (padded_rows > 0) {
    DR_CHECK(batch.num_expanded == 0 && batch.absorbed_rows <= padded_rows);
    batch.row_by_row = true;
    batch.absorbed_rows = batch.num_sequences = padded_rows;
    std::fill(batch.rows_of_group.begin(), batch.rows_of_group.end(), padded_rows);
  } else {
    for (size_t index = 0; index < step.sequences.size(); ++index) {
      if (!step.sequences[index].padding) continue;
      batch.padding.push_back(static_cast<int32_t>(index));
      batch.absorbed_rows += step.sequences[index].rows;
      ++batch.num_sequences;
    }
  }
  batch.rows = batch.absorbed_rows + batch.expanded_rows;
  for (Batch::Chunk& chunk : batch.chunks)
    chunk.first_expanded_row += static_cast<int32_t>(batch.absorbed_rows);
}

// The most absorbed rows that attention takes as one sequence, at least 1.
int64_t MostAbsorbedRows(const GroupStep& step, const Batch& batch) {
  int32_t most = 1;
  if (batch.row_by_row) return most;
  for (const Batch::Chunk& chunk : batch.chunks) most = std::max(most, RowsTogether(chunk, batch));
  for (const int32_t index : batch.padding)
    most = std::max(most, step.sequences[static_cast<size_t>(index)].rows);
  return most;
}

}  // namespace

int64_t Batch::rows_of_all_groups() const {
  return std::accumulate(rows_of_group.begin(), rows_of_group.end(), int64_t{0});
}

void FillBatch(const GroupStep& step, int32_t dp_rank, int64_t padded_rows, const AttentionPlanner& planner,
               StagedArea& area, Batch& batch) {
  DivideRows(step, padded_rows, planner, batch);
  DR_CHECK(batch.rows == batch.rows_of_group[static_cast<size_t>(dp_rank)]);

  const Staged<TokenId> token_ids = area.Take<TokenId>(batch.rows);
  const Staged<int32_t> positions = area.Take<int32_t>(batch.rows);
  const Staged<int64_t> slots = area.Take<int64_t>(batch.rows);
  const auto sequences = area.Take<kernels::AttentionSequence>(batch.num_sequences);
  const auto expanded = area.Take<kernels::AttentionSequence>(batch.num_expanded);
  const Staged<int32_t> row_count = area.Take<int32_t>(1);
  kernels::AttentionSequence* next_sequence = sequences.host;
  kernels::AttentionSequence* next_expanded = expanded.host;
  for (const Batch::Chunk& chunk : batch.chunks) {
    const StepSequence& sequence = step.sequences[static_cast<size_t>(chunk.index)];
    if (chunk.expanded_rows > 0) {
      *next_expanded++ = {.first_row = chunk.first_expanded_row - static_cast<int32_t>(batch.absorbed_rows),
                          .rows = chunk.expanded_rows,
                          .first_position = sequence.num_computed};
    }
    int32_t rows = std::max(1, RowsTogether(chunk, batch));
    for (int32_t r = 0; r < chunk.rows - chunk.expanded_rows; r += rows, rows = 1) {
      *next_sequence++ = {.first_row = chunk.first_absorbed_row + r,
                          .rows = rows,
                          .first_position = sequence.num_computed + chunk.expanded_rows + r};
    }
    for (int32_t r = 0; r < chunk.rows; ++r) {
      const int32_t position = sequence.num_computed + r;
      const int32_t row = chunk.RowOf(r);
      const int64_t page = sequence.block_table[position / kPageTokens];
      token_ids.host[row] = sequence.token_ids[r];
      positions.host[row] = position;
      slots.host[row] = page * kPageTokens + position % kPageTokens;
    }
  }
  for (int64_t row = batch.padding_begin; row < batch.absorbed_rows; ++row) {
    token_ids.host[row] = 0;
    positions.host[row] = 0;
    slots.host[row] = -1;
    if (padded_rows > 0) *next_sequence++ = {.first_row = static_cast<int32_t>(row), .rows = 1};
  }
  int32_t padding_row = static_cast<int32_t>(batch.padding_begin);
  for (const int32_t index : batch.padding) {
    const int32_t rows = step.sequences[static_cast<size_t>(index)].rows;
    *next_sequence++ = {.first_row = padding_row, .rows = rows};
    padding_row += rows;
  }
  *row_count.host = static_cast<int32_t>(batch.expanded_rows > 0 ? batch.rows : batch.padding_begin);
  batch.token_ids = token_ids.device;
  batch.positions = positions.device;
  batch.slots = slots.device;
  batch.sequences = sequences.device;
  batch.host_sequences = sequences.host;
  batch.expanded_sequences = expanded.device;
  batch.host_expanded = expanded.host;
  batch.row_count = row_count.device;

  batch.attention_shape =
      planner.ShapeOf(batch.absorbed_rows, batch.num_sequences, MostAbsorbedRows(step, batch));
  const Staged<std::byte> attention = area.Take<std::byte>(planner.BytesOf(batch.attention_shape));
  const bool planned = planner.BytesOf(batch.attention_shape) > 0;
  batch.attention_plan = planned ? attention.device : nullptr;
  batch.host_attention_plan = planned ? attention.host : nullptr;
  const int64_t expanded_bytes = planner.ExpandedBytes(batch.num_expanded);
  const Staged<std::byte> expanded_plan = area.Take<std::byte>(expanded_bytes);
  batch.expanded_plan = expanded_bytes > 0 ? expanded_plan.device : nullptr;
  batch.host_expanded_plan = expanded_bytes > 0 ? expanded_plan.host : nullptr;
}

void FillBlockTables(const GroupStep& step, const AttentionPlanner& planner, StagedArea& area, Batch& batch) {
  kernels::AttentionSequence* next_sequence = batch.host_sequences;
  kernels::AttentionSequence* next_expanded = batch.host_expanded;
  for (const Batch::Chunk& chunk : batch.chunks) {
    const StepSequence& sequence = step.sequences[static_cast<size_t>(chunk.index)];
    const Staged<BlockId> table = area.Take<BlockId>(PagesOf(sequence));
    std::copy_n(sequence.block_table.begin(), PagesOf(sequence), table.host);
    if (chunk.expanded_rows > 0) (next_expanded++)->block_table = table.device;
    const kernels::AttentionSequence* const end = next_sequence + SequencesOf(chunk, batch);
    while (next_sequence != end) (next_sequence++)->block_table = table.device;
  }
  for (const int32_t index : batch.padding) {
    const int64_t pages = CeilDiv(step.sequences[static_cast<size_t>(index)].rows, kPageTokens);
    const Staged<BlockId> table = area.Take<BlockId>(pages);
    std::fill_n(table.host, pages, BlockId{0});
    (next_sequence++)->block_table = table.device;
  }
  const int64_t sequences = next_sequence - batch.host_sequences;
  if (sequences < batch.num_sequences) {  // the batch is padded to a number of rows
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
  if (batch.host_expanded_plan != nullptr) {
    planner.PlanExpanded(batch.host_expanded, batch.num_expanded, batch.host_expanded_plan);
  }
}

}  // namespace deeprack::worker
