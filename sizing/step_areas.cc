#include "sizing/step_areas.h"

#include <algorithm>
#include <cstddef>

#include "base/checked.h"
#include "base/ids.h"
#include "kernels/api/attention.h"
#include "kernels/api/sampling.h"
#include "model/step/sampling_check.h"
#include "sizing/alignment.h"

namespace deeprack::sizing {

namespace {

// On top of the adjustments of one row, so that those of many requests are sent at once.
constexpr int64_t kSpareAdjustmentBytes = int64_t{1} << 20;

// Of one batch (worker/decoder/batch.h).
int64_t BatchBytes(const model::StepLimits& limits, const AttentionSizes& attention) {
  const int64_t rows = limits.max_step_tokens;
  const int64_t sequences = std::min(rows, limits.max_sequences);
  return StagedBytes<TokenId>(rows) + StagedBytes<int32_t>(rows) + StagedBytes<int64_t>(rows) +
         2 * StagedBytes<kernels::AttentionSequence>(sequences) + StagedBytes<int32_t>(1) +
         StagedBytes<std::byte>(attention.MostBytes(limits)) +
         StagedBytes<std::byte>(attention.ExpandedBytes(sequences)) +
         sequences * StagedBytes<BlockId>(CeilDiv(limits.max_context, kPageTokens));
}

// Of its sampling (worker/sampling/sampler.h).
int64_t SamplingInputBytes(const model::StepLimits& limits) {
  const int64_t samples = std::min(limits.max_step_tokens, limits.max_sequences);
  return StagedBytes<int32_t>(limits.max_step_tokens) + StagedBytes<int32_t>(samples) +
         StagedBytes<kernels::Draw>(samples) +
         StagedBytes<kernels::ScoredRow>(limits.max_step_tokens + samples);
}

int64_t SamplingResultBytes(const model::StepLimits& limits) {
  const int64_t samples = std::min(limits.max_step_tokens, limits.max_sequences);
  const int64_t scored = limits.max_step_tokens + samples;
  return StagedBytes<TokenId>(samples) + StagedBytes<TokenId>(scored) + StagedBytes<float>(scored) +
         StagedBytes<TokenId>(scored * model::kMostTopLogprobs) +
         StagedBytes<float>(scored * model::kMostTopLogprobs);
}

int64_t AdjustmentBytes(int64_t vocab) {
  return StagedBytes<kernels::LogitAdjustment>(1) + StagedBytes<kernels::LogitBias>(vocab) +
         StagedBytes<kernels::LogitPenaltyCount>(vocab) + kSpareAdjustmentBytes;
}

}  // namespace

StepAreas StepAreasOf(const model::StepLimits& limits, int64_t vocab, const AttentionSizes& attention) {
  return {.inputs = RoundUp(BatchBytes(limits, attention) + SamplingInputBytes(limits), kArenaAlignment),
          .results = RoundUp(SamplingResultBytes(limits), kArenaAlignment),
          .adjustments = RoundUp(AdjustmentBytes(vocab), kArenaAlignment)};
}

}  // namespace deeprack::sizing
