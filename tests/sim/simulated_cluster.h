// Executes plans over a model of the paged KV cache that records what was written to each slot. Reports every
// plan that reads or writes a slot that it must not, or that is beyond the limits.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "coordinator/scheduler/scheduler_limits.h"
#include "coordinator/scheduler/step_executor.h"

namespace deeprack::coordinator::sim {

class SimulatedCluster final : public StepExecutor {
 public:
  explicit SimulatedCluster(const SchedulerLimits& limits);

  // To be called for each request: token counts are then compared with the prompt's and the output's own.
  void Expect(SequenceId sequence, int32_t prompt_size) { prompt_sizes_[sequence] = prompt_size; }

  // Internal, naming the sequence, when the plan breaks a rule.
  absl::StatusOr<model::StepResult> Execute(const model::StepPlan& plan) override;

  // New ranks take the place of the old ones: every slot is empty again.
  void Replace() { slots_.assign(slots_.size(), {}); }

  // A fold over every field of every plan so far: equal runs have equal digests.
  uint64_t digest() const { return digest_; }

 private:
  struct Slot {
    bool written = false;
    int32_t position = 0;
    TokenId token = 0;
    uint64_t history = 0;   // of all tokens up to and with this one
    bool expanded = false;  // the form in which it was computed
  };

  absl::Status CheckPlan(const model::StepPlan& plan) const;
  absl::Status Read(const model::SequencePlan& plan, std::vector<TokenId>& tokens, uint64_t& history) const;
  absl::Status CheckCounts(const model::SequencePlan& plan, const std::vector<TokenId>& tokens) const;
  absl::StatusOr<model::SequenceResult> Run(const model::SequencePlan& plan);
  // Whether the position is to be computed in the expanded form of attention.
  bool Expands(const model::SequencePlan& plan, int32_t position) const;
  size_t SlotOf(const model::SequencePlan& plan, int32_t position) const;
  void Digest(const model::StepPlan& plan);

  const SchedulerLimits limits_;
  std::map<SequenceId, int32_t> prompt_sizes_;
  std::vector<Slot> slots_;  // [dp, blocks_per_dp_rank, kPageTokens]
  uint64_t digest_ = 0;
  StepId last_step_ = 0;
};

}  // namespace deeprack::coordinator::sim
