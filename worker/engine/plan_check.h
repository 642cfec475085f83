// Holds a step plan against what the engine can do, before anything is changed or any other rank is met.
// Every rank checks the whole plan, so that all come to the same verdict.
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
  // `limits` are of each dp group; blocks: pages of each dp group's cache.
  PlanChecker(int64_t vocab_size, const model::Layout& layout, Epoch epoch, const model::StepLimits& limits,
              int64_t blocks);

  // FailedPrecondition: another epoch. InvalidArgument: anything else, naming the sequence, what was found
  // and what would do. A page that is written in this step belongs to one sequence alone: no other table may
  // name it.
  absl::Status Check(const model::StepPlan& plan);

 private:
  absl::Status CheckSequence(const model::SequencePlan& sequence) const;
  absl::Status CheckPages(const model::StepPlan& plan);

  const int64_t vocab_size_;
  const int32_t dp_;
  const Epoch epoch_;
  const model::StepLimits limits_;
  const int64_t blocks_;
  std::vector<int32_t>
      writer_;  // [dp, blocks]: index in the plan of the sequence that writes a page, -1: none
};

}  // namespace deeprack::worker
