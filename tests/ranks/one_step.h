// Plans for tests of ranks: each step closes the sequences of the step before and opens the same ones again,
// so every step is like the first.
#pragma once

#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/scheduler/step_executor.h"
#include "model/step/step_plan.h"
#include "model/step/step_result.h"

namespace deeprack {

// A plan for one dp group in which each of `sequences` computes its last token and draws one token after it,
// or computes all of its tokens if nothing of it is in the cache. Sequence i has slot i and page i.
inline model::StepPlan PlanOf(std::vector<model::OpenedSequence> sequences, StepId step, Epoch epoch) {
  model::StepPlan plan{.header = {.epoch = epoch, .step = step}};
  model::GroupPlan& group = plan.groups.emplace_back();
  int32_t rows = 0;
  for (SequenceSlot slot = 0; slot < std::ssize(sequences); ++slot) {
    model::OpenedSequence& sequence = sequences[slot];
    const auto size = static_cast<int32_t>(sequence.tokens.size());
    sequence.slot = slot;
    sequence.end.max_size = size + 1;
    if (step > 1) group.closed.push_back(slot);
    group.pages.push_back({.slot = slot, .pages = {slot}});
    group.rows.push_back({.slot = slot, .rows = size - sequence.num_computed});
    rows += group.rows.back().rows;
  }
  group.opened = std::move(sequences);
  plan.header.rows_of_group = {rows};
  return plan;
}

inline absl::StatusOr<model::StepResult> Execute(coordinator::StepExecutor& executor,
                                                 const model::StepPlan& plan) {
  if (const absl::Status sent = executor.Send(plan); !sent.ok()) return sent;
  return executor.Receive();
}

}  // namespace deeprack
