// Computes the next tokens of sequences, and log-probabilities, from rows of logits.
//
// Calls of a step, in order: Plan prepares the kernels' inputs on the host; Score and Sample queue the
// kernels; after `results` has been copied to the host, NonFiniteOf, TokenOf and LogprobsOf
// return the answers.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "kernels/api/kernel_set.h"
#include "model/step/step_limits.h"
#include "model/step/step_result.h"
#include "worker/device/device.h"
#include "worker/device/staged_area.h"
#include "worker/sequences/group_step.h"

namespace deeprack::worker {

// Requests the log-probability of `token` after a batch row.
struct ScoreRequest {
  int32_t batch_row = 0;
  TokenId token = 0;
  int32_t num_top = 0;  // also those of the num_top most likely tokens
};

// Requests draw `draw` of `sequence`, which must outlive the step, after a batch row.
struct SampleRequest {
  int32_t batch_row = 0;
  const StepSequence* sequence = nullptr;
  int32_t draw = 0;  // less than sequence->draws()
};

// The draw with these parameters; its position is not set.
kernels::Draw DrawOf(const model::SamplingParams& params);

class Sampler {
 public:
  // logit_rows: rows of the buffer that holds logits. `adjusted`: fp32 [n, vocab_size] in the device's
  // memory, for copies that the sampler changes. All arguments must outlive the sampler.
  Sampler(Device& device, int64_t logit_rows, const kernels::Matrix& adjusted, StagedArea& inputs,
          StagedArea& results, StagedArea& adjustments);

  // Begins a step: fills `inputs` and takes room in `results`. sample_rows() has at least padded_rows
  // entries; entries beyond the samples are 0.
  void Plan(std::span<const ScoreRequest> scores, std::span<const SampleRequest> samples,
            int64_t padded_rows = 0);

  // In the device's memory: the batch rows whose logits Score and Sample must be given, in order.
  const int32_t* score_rows() const { return score_rows_; }
  const int32_t* sample_rows() const { return sample_rows_; }

  // Queues the kernels for scores [first, first + logits.rows). `logits`: the raw logits of these scores,
  // fp32 [rows, vocab_size]. `first` must be a multiple of logit_rows.
  void Score(const kernels::Matrix& logits, int64_t first);
  // Queues the kernels for all samples. `logits`: the raw logits of all samples in the order of
  // sample_rows(), fp32 [rows, vocab_size]. Waits for the device only if the adjustments do not fit in their
  // area at once.
  absl::Status Sample(const kernels::Matrix& logits);

  // The lowest token whose raw logit is not finite; -1: all are finite. If not -1, the other answers of the
  // request are noise.
  TokenId NonFiniteOfScore(size_t score) const { return non_finite_.host[score]; }
  TokenId NonFiniteOf(size_t sample) const { return non_finite_.host[num_scores_ + row_of_sample_[sample]]; }
  // Answers by the index of the request. Log-probabilities only as far as they were requested.
  model::PositionLogprobs ScoreOf(size_t score) const;
  TokenId TokenOf(size_t sample) const { return tokens_.host[row_of_sample_[sample]]; }
  model::PositionLogprobs LogprobsOf(size_t sample) const;
  // The row of `sample` in the argument of Sample.
  int32_t RowOf(size_t sample) const { return row_of_sample_[sample]; }

 private:
  struct Scored {
    TokenId token = -1;  // -1: the drawn token
    int32_t num_top = 0;
    int32_t first_top = 0;  // index of its first entry in top_ids_
  };

  void PlanSamples(std::span<const SampleRequest> samples, int64_t padded_rows);
  // Prepares the adjustments and masks of samples from `row` on, as many as fit in the area. Returns how
  // many. masks.row_masks stays null if no row has a mask.
  int64_t LayOutAdjustments(int64_t row, kernels::AdjustLogitsArgs& args, kernels::MaskLogitsArgs& masks);
  model::PositionLogprobs Logprobs(size_t entry, TokenId token) const;

  Device& device_;
  const kernels::KernelSet& kernels_;
  const kernels::Execution& execution_;
  const int64_t logit_rows_;
  const kernels::Matrix adjusted_;
  StagedArea& inputs_;
  StagedArea& results_;
  StagedArea& adjustments_;

  // State of the current step.
  const int32_t* score_rows_ = nullptr;
  const int32_t* sample_rows_ = nullptr;
  std::vector<SampleRequest> sample_of_row_;  // by row of the samples' logits
  std::vector<TokenCount> counts_;            // of a row with drafts before it
  std::vector<int32_t> row_of_sample_;
  int64_t first_adjusted_ = 0;  // rows of samples from this one on are adjusted
  Staged<kernels::Draw> draws_;
  std::vector<Scored> scored_;         // the scores, then the samples with log-probabilities by row
  std::vector<int32_t> entry_of_row_;  // by row of the samples' logits: index in scored_; -1: none
  int64_t num_scores_ = 0;
  Staged<kernels::ScoredRow> scored_rows_;
  Staged<TokenId> tokens_;
  Staged<TokenId> non_finite_;  // of the scores, then of the rows of the samples' logits
  Staged<float> logprobs_;
  Staged<TokenId> top_ids_;
  Staged<float> top_logprobs_;
};

}  // namespace deeprack::worker
