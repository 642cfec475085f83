// One dp group's share of a step, laid out for the kernels. The rows of absorbed attention come first,
// sequence by sequence, then padding rows, then the rows of expanded attention, sequence by sequence. A chunk
// in which the prompt ends has rows of both.
#pragma once

#include <cstdint>
#include <vector>

#include "base/ids.h"
#include "kernels/api/attention.h"
#include "worker/decoder/attention_planner.h"
#include "worker/device/staged_area.h"
#include "worker/sequences/group_step.h"

namespace deeprack::worker {

struct Batch {
  // The part that only the host reads.
  struct Chunk {
    int32_t index = 0;  // of its sequence in GroupStep::sequences
    int32_t rows = 0;
    int32_t expanded_rows = 0;       // the first expanded_rows of `rows` are expanded
    int32_t drafts = 0;              // the last of the absorbed rows: StepSequence::drafts
    int32_t first_expanded_row = 0;  // batch row of its first expanded row
    int32_t first_absorbed_row = 0;  // batch row of its first absorbed row

    // The batch row of the chunk's token i.
    int32_t RowOf(int32_t i) const {
      return i < expanded_rows ? first_expanded_row + i : first_absorbed_row + i - expanded_rows;
    }
  };
  std::vector<Chunk> chunks;  // of the sequences that are not padding
  // The padding sequences, by index in GroupStep::sequences. Empty if the batch is padded to a number of
  // rows.
  std::vector<int32_t> padding;
  bool row_by_row = false;  // attention takes each absorbed row as a sequence of one row
  // [dp]: the step's rows of each dp group.
  std::vector<int64_t> rows_of_group;
  int64_t rows = 0;           // all rows, with padding
  int64_t absorbed_rows = 0;  // rows [0, absorbed_rows) are absorbed, among them all padding rows
  int64_t padding_begin = 0;  // rows [padding_begin, absorbed_rows) are padding
  int64_t expanded_rows = 0;  // rows [absorbed_rows, rows) are expanded

  // The part that kernels read, in the device's memory.
  const TokenId* token_ids = nullptr;  // [rows]
  const int32_t* positions = nullptr;  // [rows]
  const int64_t* slots = nullptr;      // [rows]: the KV cache's slot that the row is written to; -1: none
  // Sequences with absorbed rows and sequences with expanded rows, with their block tables. first_row counts
  // from the first absorbed row, and from the first expanded row.
  const kernels::AttentionSequence* sequences = nullptr;           // [num_sequences]
  const kernels::AttentionSequence* expanded_sequences = nullptr;  // [num_expanded]
  int64_t num_sequences = 0;
  int64_t num_expanded = 0;
  const int32_t* row_count = nullptr;  // [1]: rows from this one on are padding, and choose no experts
  kernels::AttentionSequence* host_sequences = nullptr;  // the host's image of `sequences`
  kernels::AttentionSequence* host_expanded = nullptr;   // the host's image of `expanded_sequences`
  // Plans of latent attention and their host images. Null if the kernels make no plans.
  const void* attention_plan = nullptr;
  void* host_attention_plan = nullptr;
  const void* expanded_plan = nullptr;
  void* host_expanded_plan = nullptr;
  kernels::MlaShape attention_shape;

  int64_t rows_of_all_groups() const;
};

// Fills `batch`. Takes the part that kernels read from `area`. `dp_rank` is the group of `step`.
//
// padded_rows > 0 (only for a step of decodes) pads the batch of every dp group to padded_rows rows. A row is
// a sequence of attention. Then all arguments of the kernels depend on padded_rows alone; only the contents
// of memory differ from step to step. Otherwise each padding sequence of the step has its padding rows.
//
// A draft's row is a sequence of attention of its own in any batch: kernels may compute the rows of one
// sequence together, and an entry of a draft that is not finite must not reach the rows before the draft.
//
// A padding row is token 0 with rotary position 0. It is not written to the KV cache. It reads one page again
// and again: the first page of the cache, or, with padded_rows, of the first sequence. No other row reads
// what a padding row computes.
void FillBatch(const GroupStep& step, int32_t dp_rank, int64_t padded_rows, const AttentionPlanner& planner,
               StagedArea& area, Batch& batch);

// Fills the rest: the sequences' block tables and the plans of attention, which point to the tables. The
// tables come last in `area` because they have any length.
void FillBlockTables(const GroupStep& step, const AttentionPlanner& planner, StagedArea& area, Batch& batch);

}  // namespace deeprack::worker
