// One dp group's share of a step, laid out for the kernels. First come all rows whose attention is absorbed,
// the chunks of the sequences one after the other, then all whose attention is expanded; a chunk on a
// prompt's end has rows among both.
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
  // The host's view.
  struct Chunk {
    int32_t plan_index = 0;  // of its sequence in the plan
    int32_t rows = 0;
    int32_t expanded_rows = 0;       // its first ones
    int32_t first_expanded_row = 0;  // of the batch
    int32_t first_absorbed_row = 0;

    // The batch row of the chunk's token i.
    int32_t RowOf(int32_t i) const {
      return i < expanded_rows ? first_expanded_row + i : first_absorbed_row + i - expanded_rows;
    }
  };
  std::vector<Chunk> chunks;
  // Rows of every dp group of the step, this one's included: [dp].
  std::vector<int64_t> rows_of_group;
  int64_t rows = 0;           // with those that pad it
  int64_t real_rows = 0;      // the chunks'
  int64_t absorbed_rows = 0;  // the first of `rows`
  int64_t expanded_rows = 0;  // the others

  // The kernels' view, in the device's memory.
  const TokenId* token_ids = nullptr;  // [rows]
  const int32_t* positions = nullptr;  // [rows]
  const int64_t* slots = nullptr;      // [rows]: where the KV cache takes the row
  // Absorbed rows and expanded rows, counted from the first of either; with their block tables.
  const kernels::AttentionSequence* sequences = nullptr;           // [num_sequences]
  const kernels::AttentionSequence* expanded_sequences = nullptr;  // [num_expanded]
  int64_t num_sequences = 0;
  int64_t num_expanded = 0;
  const int32_t* row_count = nullptr;                    // real_rows
  kernels::AttentionSequence* host_sequences = nullptr;  // the same, as the host fills them
  kernels::AttentionSequence* host_expanded = nullptr;
  // Of latent attention, where the kernels plan it ahead; else null.
  const void* attention_plan = nullptr;
  void* host_attention_plan = nullptr;
  const void* expanded_plan = nullptr;
  void* host_expanded_plan = nullptr;
  kernels::MlaShape attention_shape;

  int64_t rows_of_all_groups() const;
};

// Fills `batch` with the plan's sequences of `dp_rank`, its kernels' view in `area`. The plan must be a
// checked one.
//
// With `padded_rows` > 0, of a plan of decodes, the batch of every dp group has so many rows and sequences:
// those beyond the real ones are a decode of token 0 at position 0 that reads the first entry of the first
// sequence, or of the cache where there is none, is not kept, and chooses no experts. Then everything that a
// kernel is told of the batch depends on padded_rows alone, but for what memory holds.
void FillBatch(const model::StepPlan& plan, int32_t dp_rank, int32_t dp, int64_t padded_rows,
               const AttentionPlanner& planner, StagedArea& area, Batch& batch);

// The rest of it: the sequences' block tables, which are of any length and so come last in the area, and the
// plan of attention, which names them.
void FillBlockTables(const model::StepPlan& plan, const AttentionPlanner& planner, StagedArea& area,
                     Batch& batch);

}  // namespace deeprack::worker
