#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/reference/reference.h"

namespace deeprack::kernels::reference {
namespace {

std::vector<TokenId> BestFirst(const float* logits, int64_t vocab) {
  std::vector<TokenId> order(vocab);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](TokenId a, TokenId b) { return logits[a] > logits[b]; });
  return order;
}

}  // namespace

void FindNonFinite(const FindNonFiniteArgs& args) {
  for (int64_t row = 0; row < args.logits.rows; ++row) {
    const float* logits = args.logits.row<float>(row);
    const float* end = logits + args.logits.cols;
    const float* found = std::find_if(logits, end, [](float logit) { return !std::isfinite(logit); });
    args.tokens[row] = found == end ? -1 : static_cast<TokenId>(found - logits);
  }
}

void AdjustLogits(const AdjustLogitsArgs& args) {
  for (int64_t row = 0; row < args.logits.rows; ++row) {
    const LogitAdjustment& adjustment = args.rows[row];
    float* logits = args.logits.row<float>(row);
    for (int64_t i = 0; i < adjustment.num_biases; ++i) {
      const LogitBias& bias = args.biases[adjustment.first_bias + i];
      logits[bias.token] += bias.bias;
    }
    for (int64_t i = 0; i < adjustment.num_counts; ++i) {
      const LogitPenaltyCount& count = args.counts[adjustment.first_count + i];
      double logit = static_cast<double>(logits[count.token]);
      const double repetition = static_cast<double>(adjustment.repetition_penalty);
      if (count.in_prompt + count.in_output > 0) logit = logit > 0 ? logit / repetition : logit * repetition;
      logit -= static_cast<double>(adjustment.frequency_penalty) * count.in_output;
      if (count.in_output > 0) logit -= static_cast<double>(adjustment.presence_penalty);
      logits[count.token] = static_cast<float>(logit);
    }
  }
}

void MaskLogits(const MaskLogitsArgs& args) {
  const int64_t words = (args.logits.cols + 31) / 32;
  for (int64_t row = 0; row < args.logits.rows; ++row) {
    if (args.row_masks[row] < 0) continue;
    for (int64_t token = 0; token < args.logits.cols; ++token) {
      const uint32_t word = args.masks[args.row_masks[row] * words + token / 32];
      if ((word >> (token % 32) & 1) == 0) {
        args.logits.row<float>(row)[token] = -std::numeric_limits<float>::infinity();
      }
    }
  }
}

std::vector<double> SampleDistribution(const float* logits, int64_t vocab, const Draw& draw) {
  const std::vector<TokenId> order = BestFirst(logits, vocab);
  std::vector<double> probabilities(vocab, 0.0);
  if (draw.temperature == 0) {
    probabilities[order[0]] = 1;
    return probabilities;
  }
  const auto weight = [&](TokenId token) {
    return std::exp((static_cast<double>(logits[token]) - static_cast<double>(logits[order[0]])) /
                    static_cast<double>(draw.temperature));
  };
  const int64_t top_k = draw.top_k > 0 ? std::min<int64_t>(draw.top_k, vocab) : vocab;
  double total = 0;
  for (int64_t i = 0; i < top_k; ++i) total += weight(order[i]);
  double mass = 0;
  for (int64_t i = 0; i < top_k; ++i) {
    if (i > 0 && draw.top_p < 1 && mass >= static_cast<double>(draw.top_p) * total) break;
    if (weight(order[i]) < static_cast<double>(draw.min_p)) break;
    mass += probabilities[order[i]] = weight(order[i]);
  }
  for (double& probability : probabilities) probability /= mass;
  return probabilities;
}

void Logprobs(const LogprobsArgs& args) {
  const int64_t vocab = args.logits.cols;
  for (int64_t entry = 0; entry < args.m; ++entry) {
    const ScoredRow& scored = args.rows[entry];
    const float* logits = args.logits.row<float>(scored.row);
    const TokenId token = scored.token >= 0 ? scored.token : args.drawn[scored.row];
    const std::vector<TokenId> order = BestFirst(logits, vocab);
    const double largest = static_cast<double>(logits[order[0]]);
    double sum = 0;
    for (int64_t i = 0; i < vocab; ++i) sum += std::exp(static_cast<double>(logits[i]) - largest);
    const double log_sum = largest + std::log(sum);
    args.logprobs[entry] = static_cast<float>(static_cast<double>(logits[token]) - log_sum);
    for (int32_t i = 0; i < scored.num_top; ++i) {
      args.top_ids[scored.first_top + i] = order[i];
      args.top_logprobs[scored.first_top + i] =
          static_cast<float>(static_cast<double>(logits[order[i]]) - log_sum);
    }
  }
}

}  // namespace deeprack::kernels::reference
