// Joins the answers of all ranks to one step into one result.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "model/step/step_plan.h"
#include "model/step/step_result.h"

namespace deeprack::coordinator {

// Takes each sequence's result from the rank that has it, in the plan's order; rank_timings[r] are rank r's.
// Fills in NonFiniteRow::rank. If all ranks refuse the plan alike, the result has the refusal alone.
// Internal, naming rank, step and sequence: an answer is for another step; a sequence has no result, or two,
// or is not in the plan; a token id is outside [0, vocab_size); there are more log-probabilities than were
// asked for; a row that is not finite has a token; some ranks refuse the plan and others do not, or refuse it
// for something else.
absl::StatusOr<model::StepResult> JoinStepResults(const model::StepPlan& plan,
                                                  std::vector<model::StepResult> by_rank, int32_t vocab_size);

}  // namespace deeprack::coordinator
