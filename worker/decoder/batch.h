// One dp group's share of a step, laid out for the kernels. The rows of absorbed attention come first,
// sequence by sequence, then the rows of expanded attention, sequence by sequence. A chunk in which the
// prompt ends has rows of both.
#pragma once

#include <cstdint>
#include <vector>

#include "base/ids.h"
#include "kernels/api/attention.h"
#include "model/step/step_limits.h"
#include "model/step/step_plan.h"
#include "worker/decoder/attention_planner.h"
#include "worker/device/staged_area.h"

namespace deeprack::worker {

struct Batch {
  // The part that only the host reads.
  struct Chunk {
    int32_t plan_index = 0;  // index of its sequence in StepPlan::sequences
    int32_t rows = 0;
    int32_t expanded_rows = 0;       // the first expanded_rows of `rows` are expanded
    int32_t first_expanded_row = 0;  // batch row of its first expanded row
    int32_t first_absorbed_row = 0;  // batch row of its first absorbed row

    // The batch row of the chunk's token i.
    int32_t RowOf(int32_t i) const {
      return i < expanded_rows ? first_expanded_row + i : first_absorbed_row + i - expanded_rows;
    }
  };
  std::vector<Chunk> chunks;
  // [dp]: the step's rows of each dp group.
  std::vector<int64_t> rows_of_group;
  int64_t rows = 0;           // all rows, with padding
  int64_t real_rows = 0;      // rows of chunks, without padding
  int64_t absorbed_rows = 0;  // rows [0, absorbed_rows) are absorbed
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
  const int32_t* row_count = nullptr;                    // [1]: real_rows
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

// Fills `batch` with the sequences of `dp_rank`. Takes the part that kernels read from `area`. `plan` must
// have passed the engine's checks.
//
// padded_rows > 0 (only for a plan of decodes) pads the batch of every dp group to padded_rows rows and
// sequences. A padding row is a decode of token 0 at position 0. A padding row reads the first KV entry of
// the first sequence, or of the cache if there is no sequence. A padding row is not written to the KV cache
// and chooses no experts. So all arguments of the kernels depend on padded_rows alone; only the contents of
// memory differ from step to step.
void FillBatch(const model::StepPlan& plan, int32_t dp_rank, int32_t dp, int64_t padded_rows,
               const AttentionPlanner& planner, StagedArea& area, Batch& batch);

// Fills the rest: the sequences' block tables and the plans of attention, which point to the tables. The
// tables come last in `area` because they have any length.
void FillBlockTables(const model::StepPlan& plan, const AttentionPlanner& planner, StagedArea& area,
                     Batch& batch);

}  // namespace deeprack::worker
