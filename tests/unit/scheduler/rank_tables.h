// The ranks' side of the scheduler's plans, for tests: the sequence tables of all dp groups. They turn what a
// plan changes into what the ranks compute.
#pragma once

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ids.h"
#include "constraint/vocabulary.h"
#include "coordinator/scheduler/scheduler_limits.h"
#include "model/step/sampling_params.h"
#include "model/step/step_plan.h"
#include "model/step/step_result.h"
#include "worker/sequences/sequence_table.h"

namespace deeprack::coordinator {

// One sequence's share of a step: worker::StepSequence, by value.
struct SequencePlan {
  SequenceId sequence = 0;
  int32_t dp_rank = 0;
  int32_t prompt_size = 0;
  int32_t num_computed = 0;
  std::vector<TokenId> token_ids;    // without drafts; empty: the rows are padding
  std::vector<TokenId> drafts;       // of this step
  int32_t next_drafts = 0;           // to be made
  std::vector<BlockId> block_table;  // of the positions that the step may write to
  bool sample = false;
  model::SamplingParams sampling;                // if `sample`
  std::vector<worker::TokenCount> token_counts;  // in ascending order of tokens
  int32_t prompt_logprobs = -1;
  TokenId next_prompt_token = -1;

  bool operator==(const SequencePlan&) const = default;
};

struct ResolvedPlan {
  Epoch epoch = 0;
  StepId step = 0;
  std::vector<SequencePlan> sequences;  // group by group
  model::StepPlan plan;
};

// Results in the order of ResolvedPlan::sequences.
struct ResolvedResult {
  Epoch epoch = 0;
  StepId step = 0;
  std::vector<model::SequenceResult> sequences;
  std::vector<size_t> sizes;  // [dp]: the sequences of each group
  std::vector<model::StepTimings> rank_timings;

  // As the executor joins it. Sequences beyond `sizes` are left out.
  model::StepResult Joined() const;
};

class RankTables {
 public:
  // Without `vocabulary` the tables refuse sequences with a constraint.
  explicit RankTables(const SchedulerLimits& limits,
                      std::shared_ptr<const constraint::Vocabulary> vocabulary = nullptr)
      : limits_(limits), vocabulary_(std::move(vocabulary)) {}

  // Draft d, from 0, of a sequence whose step is being accepted. Without it drafts are the numbers after the
  // sequence's last token.
  using Drafter = std::function<TokenId(SequenceId, int32_t d)>;
  void DraftWith(Drafter drafter) { drafter_ = std::move(drafter); }

  // Takes the next plan, of this epoch or of a new one. Internal: a table refuses a sequence or the step.
  absl::StatusOr<ResolvedPlan> TryBegin(const model::StepPlan& plan);
  // Ends the oldest step that began. The tables take tokens and ends from the result. Internal: the result
  // does not belong to the step.
  absl::Status TryAccept(const model::StepResult& result);

  // The same; an error fails the test.
  ResolvedPlan Begin(const model::StepPlan& plan);
  void Accept(const model::StepResult& result);

 private:
  void MakeTables(Epoch epoch, size_t groups);
  void AddOutcomes(const model::SequenceResult& result, const worker::StepSequence& sequence,
                   worker::StepOutcomes& outcomes) const;

  const SchedulerLimits limits_;
  const std::shared_ptr<const constraint::Vocabulary> vocabulary_;
  Drafter drafter_;
  Epoch epoch_ = 0;
  std::vector<std::unique_ptr<worker::SequenceTable>> tables_;  // [dp]
  std::vector<worker::GroupStep> steps_;                        // [dp]: under way
};

}  // namespace deeprack::coordinator
