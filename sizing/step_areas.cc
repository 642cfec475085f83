#include "sizing/step_areas.h"

#include <algorithm>
#include <cstddef>

#include "base/checked.h"
#include "base/ids.h"
#include "kernels/api/attention.h"
#include "kernels/api/sampling.h"
#include "model/step/sampling_check.h"
#include "sizing/alignment.h"
#include "sizing/step_buffers.h"

namespace deeprack::sizing {

namespace {

// On top of the adjustments of one row, so that those of many requests are sent at once.
constexpr int64_t kSpareAdjustmentBytes = int64_t{1} << 20;

// Of one batch (worker/decoder/batch.h).
int64_t BatchBytes(const RankSpec& spec, const AttentionSizes& attention) {
  // A draft's row is a sequence of attention.
  model::StepLimits limits = spec.limits;
  limits.max_sequences *= 1 + spec.speculative_tokens;
  const int64_t rows = limits.max_step_tokens;
  const int64_t sequences = std::min(rows, limits.max_sequences);
  return StagedBytes<TokenId>(rows) + StagedBytes<int32_t>(rows) + StagedBytes<int64_t>(rows) +
         2 * StagedBytes<kernels::AttentionSequence>(sequences) + StagedBytes<int32_t>(1) +
         StagedBytes<std::byte>(attention.MostBytes(limits)) +
         StagedBytes<std::byte>(attention.ExpandedBytes(sequences)) +
         std::min(rows, spec.limits.max_sequences) *
             StagedBytes<BlockId>(CeilDiv(limits.max_context, kPageTokens));
}

// Of its sampling (worker/sampling/sampler.h).
int64_t SamplingInputBytes(const RankSpec& spec) {
  const int64_t samples = LogitRows(spec), tokens = spec.limits.max_step_tokens;
  return StagedBytes<int32_t>(tokens) + StagedBytes<int32_t>(samples) + StagedBytes<kernels::Draw>(samples) +
         StagedBytes<kernels::ScoredRow>(tokens + samples);
}

int64_t SamplingResultBytes(const RankSpec& spec) {
  const int64_t samples = LogitRows(spec);
  const int64_t scored = spec.limits.max_step_tokens + samples;
  return StagedBytes<TokenId>(samples) + StagedBytes<TokenId>(scored) + StagedBytes<float>(scored) +
         StagedBytes<TokenId>(scored * model::kMostTopLogprobs) +
         StagedBytes<float>(scored * model::kMostTopLogprobs);
}

int64_t AdjustmentBytes(int64_t vocab) {
  return StagedBytes<kernels::LogitAdjustment>(1) + StagedBytes<kernels::LogitBias>(vocab) +
         StagedBytes<kernels::LogitPenaltyCount>(vocab) + StagedBytes<int32_t>(1) +
         StagedBytes<uint32_t>(CeilDiv(vocab, 32)) + kSpareAdjustmentBytes;
}

// Inputs of the drafts: the token after each row, the tables and rows of each sequence, and a batch for each
// run of the layer on its own output.
int64_t DraftInputBytes(const RankSpec& spec, const AttentionSizes& attention) {
  const int64_t drafts = spec.speculative_tokens;
  const int64_t sequences = std::min(spec.limits.max_step_tokens, spec.limits.max_sequences);
  int64_t plan = 0;
  for (int64_t rows = 1; rows <= sequences; ++rows) {
    plan = std::max(plan, attention.BytesOf(attention.ShapeOf(rows, rows, 1)));
  }
  return StagedBytes<TokenId>(spec.limits.max_step_tokens) + StagedBytes<int32_t>(sequences) +
         drafts * StagedBytes<kernels::Draw>(sequences) +
         sequences * StagedBytes<BlockId>(CeilDiv(spec.limits.max_context, kPageTokens)) +
         (drafts - 1) * (StagedBytes<int32_t>(sequences) + StagedBytes<int64_t>(sequences) +
                         StagedBytes<kernels::AttentionSequence>(sequences) + StagedBytes<int32_t>(1) +
                         StagedBytes<std::byte>(plan));
}

int64_t DraftResultBytes(const RankSpec& spec) {
  return spec.speculative_tokens *
         StagedBytes<TokenId>(std::min(spec.limits.max_step_tokens, spec.limits.max_sequences));
}

}  // namespace

StepAreas StepAreasOf(const RankSpec& spec, const AttentionSizes& attention) {
  return {.inputs = RoundUp(BatchBytes(spec, attention) + SamplingInputBytes(spec), kArenaAlignment),
          .results = RoundUp(SamplingResultBytes(spec), kArenaAlignment),
          .adjustments = RoundUp(AdjustmentBytes(spec.config.vocab_size), kArenaAlignment),
          .draft_inputs = spec.has_mtp() ? RoundUp(DraftInputBytes(spec, attention), kArenaAlignment) : 0,
          .draft_results = spec.has_mtp() ? RoundUp(DraftResultBytes(spec), kArenaAlignment) : 0};
}

}  // namespace deeprack::sizing
