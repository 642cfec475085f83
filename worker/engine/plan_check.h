// Checks a step plan before the engine changes anything or exchanges data with another rank. Every rank
// checks the whole plan, so all ranks get the same result.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "model/layout/layout.h"
#include "model/step/step_limits.h"
#include "model/step/step_plan.h"

namespace deeprack::worker {

class PlanChecker {
 public:
  // `limits` and `blocks` (pages of the KV cache) are of each dp group.
  PlanChecker(int64_t vocab_size, const model::Layout& layout, Epoch epoch, const model::StepLimits& limits,
              int64_t blocks);

  // A page that this step writes must be in one sequence's block table only. Errors: FailedPrecondition
  // (another epoch), InvalidArgument (anything else; the message names the sequence, the value found and the
  // values allowed).
  absl::Status Check(const model::StepPlan& plan);

 private:
  absl::Status CheckSequence(const model::SequencePlan& sequence) const;
  absl::Status CheckPages(const model::StepPlan& plan);

  const int64_t vocab_size_;
  const int32_t dp_;
  const Epoch epoch_;
  const model::StepLimits limits_;
  const int64_t blocks_;
  // [dp, blocks]: the index in the plan of the sequence that writes a page; -1: none.
  std::vector<int32_t> writer_;
};

}  // namespace deeprack::worker
