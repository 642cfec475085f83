// Joins the answers of all ranks to one step into one result.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "model/step/step_plan.h"
#include "model/step/step_result.h"

namespace deeprack::coordinator {

// Takes each sequence's result from the rank that has it, in the plan's order; rank_timings[r] are rank r's.
// Internal, naming rank, step and sequence: an answer is for another step; a sequence has no result, or two,
// or is not in the plan; a token id is outside [0, vocab_size); there are more log-probabilities than were
// asked for.
absl::StatusOr<model::StepResult> JoinStepResults(const model::StepPlan& plan,
                                                  std::vector<model::StepResult> by_rank, int32_t vocab_size);

}  // namespace deeprack::coordinator
