#include "worker/sampling/sampler.h"

#include <algorithm>

#include "base/check.h"
#include "base/status_macros.h"
#include "constraint/matcher.h"
#include "spdlog/spdlog.h"

namespace deeprack::worker {
namespace {

using kernels::LogitAdjustment;
using kernels::LogitBias;
using kernels::LogitPenaltyCount;
using kernels::Matrix;

const model::SamplingParams& SamplingOf(const SampleRequest& sample) {
  return sample.sequence->SamplingOf(sample.draw);
}

bool IsAdjusted(const SampleRequest& sample) {
  const model::SamplingParams& sampling = SamplingOf(sample);
  return !sampling.logit_bias.empty() || sampling.uses_penalties() || sample.sequence->state != nullptr;
}

// The counts of the tokens before the draw, with the drafts. `with_drafts` holds them if there are drafts.
std::span<const TokenCount> CountsOf(const SampleRequest& sample, std::vector<TokenCount>& with_drafts) {
  const StepSequence& sequence = *sample.sequence;
  if (sample.draw == 0 || !SamplingOf(sample).uses_penalties()) return sequence.token_counts;
  with_drafts.assign(sequence.token_counts.begin(), sequence.token_counts.end());
  for (const TokenId draft : sequence.DraftsBefore(sample.draw)) {
    const auto found = std::ranges::find(with_drafts, draft, &TokenCount::token);
    TokenCount& count =
        found != with_drafts.end() ? *found : with_drafts.emplace_back(TokenCount{.token = draft});
    ++count.in_output;
  }
  return with_drafts;
}

// Writes the mask of the token that is drawn if all drafts before it are right. False: every token may come.
absl::StatusOr<bool> MaskAfterDrafts(const SampleRequest& sample, std::span<uint32_t> mask) {
  constraint::TokenState& state = *sample.sequence->state;
  int32_t taken = 0;
  absl::StatusOr<bool> masked = true;
  for (const TokenId draft : sample.sequence->DraftsBefore(sample.draw)) {
    masked = state.Accept(draft);
    if (!masked.ok() || !*masked) break;
    ++taken;
  }
  // A draft that may not come is never drawn, so nothing after it is kept.
  if (masked.ok() && *masked) masked = state.FillMask(mask);
  if (const absl::Status back = state.Rollback(taken); !back.ok()) return back;
  return masked;
}

// MaskAfterDrafts. A state that fails allows no token: then the drawn token is one that the constraint does
// not allow, and the sequence is refused.
bool FillMask(const SampleRequest& sample, std::span<uint32_t> mask) {
  const absl::StatusOr<bool> masked = MaskAfterDrafts(sample, mask);
  if (masked.ok()) return *masked;
  spdlog::error("sequence {}: {}", sample.sequence->sequence, std::string(masked.status().message()));
  std::fill(mask.begin(), mask.end(), 0);
  return true;
}

Matrix Rows(const Matrix& x, int64_t begin, int64_t rows) {
  Matrix part = x;
  part.data = x.row<float>(begin);
  part.rows = rows;
  return part;
}

}  // namespace

kernels::Draw DrawOf(const model::SamplingParams& params) {
  return {.temperature = params.temperature,
          .top_k = params.top_k,
          .top_p = params.top_p,
          .min_p = params.min_p,
          .seed = params.seed};
}

Sampler::Sampler(Device& device, int64_t logit_rows, const Matrix& adjusted, StagedArea& inputs,
                 StagedArea& results, StagedArea& adjustments)
    : device_(device),
      kernels_(device.kernels()),
      execution_(device.execution()),
      logit_rows_(logit_rows),
      adjusted_(adjusted),
      inputs_(inputs),
      results_(results),
      adjustments_(adjustments) {}

void Sampler::Plan(std::span<const ScoreRequest> scores, std::span<const SampleRequest> samples,
                   int64_t padded_rows) {
  scored_.clear();
  num_scores_ = std::ssize(scores);
  const Staged<int32_t> rows = inputs_.Take<int32_t>(num_scores_);
  for (size_t i = 0; i < scores.size(); ++i) {
    rows.host[i] = scores[i].batch_row;
    scored_.push_back({.token = scores[i].token, .num_top = scores[i].num_top});
  }
  score_rows_ = rows.device;
  PlanSamples(samples, padded_rows);

  const int64_t entries = std::ssize(scored_);
  scored_rows_ = inputs_.Take<kernels::ScoredRow>(entries);
  int32_t top = 0;
  for (Scored& scored : scored_) {
    scored.first_top = top;
    top += scored.num_top;
  }
  tokens_ = results_.Take<TokenId>(std::ssize(samples));
  non_finite_ = results_.Take<TokenId>(num_scores_ + std::ssize(samples));
  logprobs_ = results_.Take<float>(entries);
  top_ids_ = results_.Take<TokenId>(top);
  top_logprobs_ = results_.Take<float>(top);
  for (int64_t i = 0; i < num_scores_; ++i) {
    const Scored& scored = scored_[static_cast<size_t>(i)];
    scored_rows_.host[i] = {.row = static_cast<int32_t>(i % logit_rows_),
                            .token = scored.token,
                            .num_top = scored.num_top,
                            .first_top = scored.first_top};
  }
  for (size_t row = 0; row < entry_of_row_.size(); ++row) {
    if (entry_of_row_[row] < 0) continue;
    const Scored& scored = scored_[static_cast<size_t>(entry_of_row_[row])];
    scored_rows_.host[entry_of_row_[row]] = {.row = static_cast<int32_t>(row),
                                             .token = -1,
                                             .num_top = scored.num_top,
                                             .first_top = scored.first_top};
  }
}

// First the samples whose logits are unchanged, then the samples whose logits are adjusted in a separate
// buffer.
void Sampler::PlanSamples(std::span<const SampleRequest> samples, int64_t padded_rows) {
  const int64_t count = std::ssize(samples);
  const Staged<int32_t> rows = inputs_.Take<int32_t>(std::max(count, padded_rows));
  std::fill_n(rows.host, std::max(count, padded_rows), 0);
  draws_ = inputs_.Take<kernels::Draw>(count);
  sample_rows_ = rows.device;
  sample_of_row_.clear();
  row_of_sample_.assign(samples.size(), 0);
  entry_of_row_.clear();
  for (const bool adjusted : {false, true}) {
    if (adjusted) first_adjusted_ = std::ssize(sample_of_row_);
    for (size_t i = 0; i < samples.size(); ++i) {
      const StepSequence& sequence = *samples[i].sequence;
      const model::SamplingParams& params = SamplingOf(samples[i]);
      if (IsAdjusted(samples[i]) != adjusted) continue;
      const size_t row = sample_of_row_.size();
      row_of_sample_[i] = static_cast<int32_t>(row);
      sample_of_row_.push_back(samples[i]);
      rows.host[row] = samples[i].batch_row;
      draws_.host[row] = DrawOf(params);
      draws_.host[row].position =
          static_cast<uint64_t>(sequence.num_computed + sequence.RowsBefore(samples[i].draw));
      entry_of_row_.push_back(params.top_logprobs < 0 ? -1 : static_cast<int32_t>(scored_.size()));
      if (params.top_logprobs >= 0) scored_.push_back({.num_top = params.top_logprobs});
    }
  }
}

void Sampler::Score(const Matrix& logits, int64_t first) {
  kernels_.find_non_finite({.logits = logits, .tokens = non_finite_.device + first}, execution_);
  kernels_.logprobs({.logits = logits,
                     .rows = scored_rows_.device + first,
                     .m = logits.rows,
                     .logprobs = logprobs_.device + first,
                     .top_ids = top_ids_.device,
                     .top_logprobs = top_logprobs_.device},
                    execution_);
}

absl::Status Sampler::Sample(const Matrix& logits) {
  if (logits.rows > 0) {
    kernels_.find_non_finite({.logits = logits, .tokens = non_finite_.device + num_scores_}, execution_);
  }
  if (first_adjusted_ > 0) {
    kernels_.sample(
        {.logits = Rows(logits, 0, first_adjusted_), .draws = draws_.device, .tokens = tokens_.device},
        execution_);
  }
  bool area_in_use = false;
  for (int64_t row = first_adjusted_; row < logits.rows;) {
    if (area_in_use) DR_RETURN_IF_ERROR(device_.Synchronize());
    kernels::AdjustLogitsArgs args;
    kernels::MaskLogitsArgs masks;
    const int64_t count = LayOutAdjustments(row, args, masks);
    DR_RETURN_IF_ERROR(adjustments_.Send());
    area_in_use = true;
    // Adjusts a copy, because log-probabilities are of the raw logits.
    const Matrix copy = Rows(adjusted_, 0, count);
    args.logits = masks.logits = copy;
    kernels_.copy_rows({.x = Rows(logits, row, count), .out = copy}, execution_);
    kernels_.adjust_logits(args, execution_);
    if (masks.row_masks != nullptr) kernels_.mask_logits(masks, execution_);
    kernels_.sample({.logits = copy, .draws = draws_.device + row, .tokens = tokens_.device + row},
                    execution_);
    row += count;
  }
  if (const int64_t entries = std::ssize(scored_) - num_scores_; entries > 0) {
    kernels_.logprobs({.logits = logits,
                       .rows = scored_rows_.device + num_scores_,
                       .m = entries,
                       .drawn = tokens_.device,
                       .logprobs = logprobs_.device + num_scores_,
                       .top_ids = top_ids_.device,
                       .top_logprobs = top_logprobs_.device},
                      execution_);
  }
  return absl::OkStatus();
}

int64_t Sampler::LayOutAdjustments(int64_t row, kernels::AdjustLogitsArgs& args,
                                   kernels::MaskLogitsArgs& masks) {
  const int64_t words = constraint::MaskWords(adjusted_.cols);
  const auto bytes = [words](int64_t rows, int64_t biases, int64_t counts, int64_t constrained) {
    return sizing::StagedBytes<LogitAdjustment>(rows) + sizing::StagedBytes<LogitBias>(biases) +
           sizing::StagedBytes<LogitPenaltyCount>(counts) + sizing::StagedBytes<int32_t>(rows) +
           sizing::StagedBytes<uint32_t>(constrained * words);
  };
  adjustments_.Clear();
  int64_t rows = 0, biases = 0, counts = 0, constrained = 0;
  while (row + rows < std::ssize(sample_of_row_) && rows < adjusted_.rows) {
    const SampleRequest& sample = sample_of_row_[static_cast<size_t>(row + rows)];
    const int64_t more_biases = biases + std::ssize(SamplingOf(sample).logit_bias);
    const int64_t more_counts = counts + std::ssize(sample.sequence->token_counts) + sample.draw;
    const int64_t more_constrained = constrained + (sample.sequence->state != nullptr ? 1 : 0);
    if (bytes(rows + 1, more_biases, more_counts, more_constrained) > adjustments_.room()) break;
    ++rows;
    constrained = more_constrained;
    biases = more_biases;
    counts = more_counts;
  }
  DR_CHECK(rows > 0);  // the area holds the adjustments of any one row

  const auto adjustment = adjustments_.Take<LogitAdjustment>(rows);
  const auto bias = adjustments_.Take<LogitBias>(biases);
  const auto penalty = adjustments_.Take<LogitPenaltyCount>(counts);
  const auto row_mask = adjustments_.Take<int32_t>(rows);
  const auto mask = adjustments_.Take<uint32_t>(constrained * words);
  int32_t masked = 0;
  int32_t bias_at = 0, count_at = 0;
  for (int64_t i = 0; i < rows; ++i) {
    const SampleRequest& sample = sample_of_row_[static_cast<size_t>(row + i)];
    const model::SamplingParams& params = SamplingOf(sample);
    const std::span<const TokenCount> token_counts = CountsOf(sample, counts_);
    adjustment.host[i] = {.first_bias = bias_at,
                          .num_biases = static_cast<int32_t>(params.logit_bias.size()),
                          .first_count = count_at,
                          .num_counts = static_cast<int32_t>(token_counts.size()),
                          .presence_penalty = params.presence_penalty,
                          .frequency_penalty = params.frequency_penalty,
                          .repetition_penalty = params.repetition_penalty};
    for (const auto& [token, value] : params.logit_bias)
      bias.host[bias_at++] = {.token = token, .bias = value};
    for (const TokenCount& count : token_counts) {
      penalty.host[count_at++] = {
          .token = count.token, .in_prompt = count.in_prompt, .in_output = count.in_output};
    }
    row_mask.host[i] = -1;
    if (sample.sequence->state != nullptr &&
        FillMask(sample, {mask.host + masked * words, static_cast<size_t>(words)})) {
      row_mask.host[i] = masked++;
    }
  }
  args.rows = adjustment.device;
  args.biases = bias.device;
  args.counts = penalty.device;
  if (masked > 0) masks = {.row_masks = row_mask.device, .masks = mask.device};
  return rows;
}

model::PositionLogprobs Sampler::Logprobs(size_t entry, TokenId token) const {
  const Scored& scored = scored_[entry];
  model::PositionLogprobs result;
  result.chosen = {.token = token, .logprob = logprobs_.host[entry]};
  for (int32_t i = scored.first_top; i < scored.first_top + scored.num_top; ++i) {
    result.top.push_back({.token = top_ids_.host[i], .logprob = top_logprobs_.host[i]});
  }
  return result;
}

model::PositionLogprobs Sampler::ScoreOf(size_t score) const { return Logprobs(score, scored_[score].token); }

model::PositionLogprobs Sampler::LogprobsOf(size_t sample) const {
  const int32_t entry = entry_of_row_[static_cast<size_t>(row_of_sample_[sample])];
  return entry < 0 ? model::PositionLogprobs{} : Logprobs(static_cast<size_t>(entry), TokenOf(sample));
}

}  // namespace deeprack::worker
