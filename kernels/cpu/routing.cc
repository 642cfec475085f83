// Operations on indices and single logits, without vector code.
#include <algorithm>
#include <limits>

#include "kernels/cpu/backend.h"
#include "kernels/cpu/parallel.h"

namespace deeprack::kernels {
namespace {

void MaskRow(const uint32_t* mask, float* logits, int64_t vocab) {
  constexpr float kNever = -std::numeric_limits<float>::infinity();
  for (int64_t begin = 0; begin < vocab; begin += 32) {
    const int64_t tokens = std::min<int64_t>(32, vocab - begin);
    const uint32_t allowed = mask[begin / 32];
    if (allowed == ~uint32_t{0}) continue;
    if (allowed == 0) {
      std::fill_n(logits + begin, tokens, kNever);
      continue;
    }
    for (int64_t i = 0; i < tokens; ++i) {
      if ((allowed >> i & 1) == 0) logits[begin + i] = kNever;
    }
  }
}

}  // namespace

void GroupByExpert(const GroupByExpertArgs& args, const Execution& execution) {
  const int64_t pairs = args.m * args.top_k;
  const auto local = [&args](int64_t pair) {
    const int64_t expert = args.ids[pair] - args.expert_begin;
    return expert >= 0 && expert < args.experts ? expert : -1;
  };
  for (int64_t e = 0; e <= args.experts; ++e) args.offsets[e] = 0;
  for (int64_t pair = 0; pair < pairs; ++pair) {
    const int64_t expert = local(pair);
    if (expert >= 0) ++args.offsets[expert + 1];
  }
  for (int64_t e = 0; e < args.experts; ++e) args.offsets[e + 1] += args.offsets[e];
  // offsets[e] is the cursor of expert e and ends at the first row of the next expert; then all offsets move
  // up by one.
  for (int64_t pair = 0; pair < pairs; ++pair) {
    const int64_t expert = local(pair);
    if (expert < 0) {
      args.pair_to_row[pair] = -1;
      continue;
    }
    const int32_t row = args.offsets[expert]++;
    args.row_index[row] = static_cast<int32_t>(pair / args.top_k);
    args.pair_to_row[pair] = row;
  }
  for (int64_t e = args.experts; e > 0; --e) args.offsets[e] = args.offsets[e - 1];
  args.offsets[0] = 0;
}

void AdjustLogits(const AdjustLogitsArgs& args, const Execution& execution) {
  const int64_t vocab = args.logits.cols;
  for (int64_t row = 0; row < args.logits.rows; ++row) {
    const LogitAdjustment& adjustment = args.rows[row];
    float* const logits = args.logits.row<float>(row);
    const LogitBias* const biases = args.biases + adjustment.first_bias;
    for (int64_t i = 0; i < adjustment.num_biases; ++i) {
      const TokenId token = biases[i].token;
      if (token >= 0 && token < vocab) logits[token] += biases[i].bias;
    }
    const LogitPenaltyCount* const counts = args.counts + adjustment.first_count;
    for (int64_t i = 0; i < adjustment.num_counts; ++i) {
      const LogitPenaltyCount& count = counts[i];
      if (count.token < 0 || count.token >= vocab) continue;
      float& logit = logits[count.token];
      if (count.in_prompt > 0 || count.in_output > 0) {
        logit = logit > 0 ? logit / adjustment.repetition_penalty : logit * adjustment.repetition_penalty;
      }
      logit -= adjustment.frequency_penalty * static_cast<float>(count.in_output);
      if (count.in_output > 0) logit -= adjustment.presence_penalty;
    }
  }
}

void MaskLogits(const MaskLogitsArgs& args, const Execution& execution) {
  const auto mask_row = [](void* context, int64_t row) {
    const MaskLogitsArgs& args = *static_cast<const MaskLogitsArgs*>(context);
    if (args.row_masks[row] >= 0) {
      MaskRow(args.masks + args.row_masks[row] * ((args.logits.cols + 31) / 32), args.logits.row<float>(row),
              args.logits.cols);
    }
  };
  MaskLogitsArgs copy = args;
  RunParallel(execution, args.logits.rows, mask_row, &copy);
}

}  // namespace deeprack::kernels
