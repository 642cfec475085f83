// Joins the answers of all ranks to one step into one result.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "model/layout/layout.h"
#include "model/step/step_plan.h"
#include "model/step/step_result.h"

namespace deeprack::coordinator {

// Takes each group's results from the rank that draws for the group; rank_timings[r] are rank r's. Fills in
// NonFiniteRow::rank. Internal, naming rank, step and sequence: an answer is for another step; a rank that
// does not draw has results; a token id is outside [0, vocab_size). Scheduler::Apply compares the results
// with the plan.
absl::StatusOr<model::StepResult> JoinStepResults(const model::StepHeader& step,
                                                  std::vector<model::RankResult> by_rank,
                                                  const model::Layout& layout, int32_t vocab_size);

}  // namespace deeprack::coordinator
