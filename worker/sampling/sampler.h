// From rows of logits to the next tokens of sequences and to log-probabilities.
//
// A step goes: Plan, which lays out on the host what kernels will need, Score and Sample, which queue the
// kernels, and, once `results` is back on the host, the answers.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "kernels/api/kernel_set.h"
#include "model/step/step_limits.h"
#include "model/step/step_plan.h"
#include "model/step/step_result.h"
#include "worker/device/device.h"
#include "worker/device/staged_area.h"

namespace deeprack::worker {

// The log-probability of a given token after a batch row.
struct ScoreRequest {
  int32_t batch_row = 0;
  TokenId token = 0;
  int32_t num_top = 0;  // and those of so many of the likeliest
};

// A draw after a batch row, as its sequence's plan says; the plan outlives the step.
struct SampleRequest {
  int32_t batch_row = 0;
  const model::SequencePlan* plan = nullptr;
};

class Sampler {
 public:
  // logit_rows: of the buffer that all logits come in. `adjusted`: fp32 [n, vocab] of the device's memory,
  // rows that draws may change. All outlive the sampler.
  Sampler(Device& device, int64_t logit_rows, const kernels::Matrix& adjusted, StagedArea& inputs,
          StagedArea& results, StagedArea& adjustments);

  // Begins a step. Fills `inputs` and makes room in `results`. sample_rows() has at least padded_rows
  // entries, of which those beyond the samples name row 0.
  void Plan(std::span<const ScoreRequest> scores, std::span<const SampleRequest> samples,
            int64_t padded_rows = 0);

  // In the device's memory: the batch rows whose logits Score and Sample are to be given, in order.
  const int32_t* score_rows() const { return score_rows_; }
  const int32_t* sample_rows() const { return sample_rows_; }

  // The raw logits of scores [first, first + logits.rows), first a multiple of logit_rows. Queued.
  void Score(const kernels::Matrix& logits, int64_t first);
  // The raw logits of all samples, in the order of sample_rows. Queued; waits for the device only when more
  // adjustments are asked for than their area holds.
  absl::Status Sample(const kernels::Matrix& logits);

  // By index of the requests; log-probabilities as far as they were asked for.
  model::PositionLogprobs ScoreOf(size_t score) const;
  TokenId TokenOf(size_t sample) const { return tokens_.host[row_of_sample_[sample]]; }
  model::PositionLogprobs LogprobsOf(size_t sample) const;
  // The row of `sample` in the logits that Sample was given.
  int32_t RowOf(size_t sample) const { return row_of_sample_[sample]; }

 private:
  struct Scored {
    TokenId token = -1;  // -1: the drawn one
    int32_t num_top = 0;
    int32_t first_top = 0;
  };

  void PlanSamples(std::span<const SampleRequest> samples, int64_t padded_rows);
  // Lays out the adjustments of samples from `row` on, as many as there is room for, and returns how many.
  int64_t LayOutAdjustments(int64_t row, kernels::AdjustLogitsArgs& args);
  model::PositionLogprobs Logprobs(size_t entry, TokenId token) const;

  Device& device_;
  const kernels::KernelSet& kernels_;
  const kernels::Execution& execution_;
  const int64_t logit_rows_;
  const kernels::Matrix adjusted_;
  StagedArea& inputs_;
  StagedArea& results_;
  StagedArea& adjustments_;

  // Of the step under way.
  const int32_t* score_rows_ = nullptr;
  const int32_t* sample_rows_ = nullptr;
  std::vector<const model::SequencePlan*> plan_of_row_;  // of the samples' logits
  std::vector<int32_t> row_of_sample_;
  int64_t first_adjusted_ = 0;  // rows from here on are adjusted
  Staged<kernels::Draw> draws_;
  std::vector<Scored> scored_;         // the scores, then the samples with log-probabilities, by row
  std::vector<int32_t> entry_of_row_;  // of scored_, -1: none
  int64_t num_scores_ = 0;
  Staged<kernels::ScoredRow> scored_rows_;
  Staged<TokenId> tokens_;
  Staged<float> logprobs_;
  Staged<TokenId> top_ids_;
  Staged<float> top_logprobs_;
};

}  // namespace deeprack::worker
