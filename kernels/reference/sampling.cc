#include <algorithm>
#include <cmath>
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

void AdjustLogits(const AdjustLogitsArgs& args) {
  for (int64_t i = 0; i < args.num_biases; ++i) args.logits[args.biases[i].token] += args.biases[i].bias;
  for (int64_t i = 0; i < args.num_counts; ++i) {
    const LogitPenaltyCount& count = args.counts[i];
    double logit = static_cast<double>(args.logits[count.token]);
    const double repetition = static_cast<double>(args.repetition_penalty);
    if (count.in_prompt + count.in_output > 0) logit = logit > 0 ? logit / repetition : logit * repetition;
    logit -= static_cast<double>(args.frequency_penalty) * count.in_output;
    if (count.in_output > 0) logit -= static_cast<double>(args.presence_penalty);
    args.logits[count.token] = static_cast<float>(logit);
  }
}

std::vector<double> SampleDistribution(const SampleArgs& args) {
  const std::vector<TokenId> order = BestFirst(args.logits, args.vocab);
  std::vector<double> probabilities(args.vocab, 0.0);
  if (args.temperature == 0) {
    probabilities[order[0]] = 1;
    return probabilities;
  }
  const auto weight = [&](TokenId token) {
    return std::exp((static_cast<double>(args.logits[token]) - static_cast<double>(args.logits[order[0]])) /
                    static_cast<double>(args.temperature));
  };
  const int64_t top_k = args.top_k > 0 ? std::min<int64_t>(args.top_k, args.vocab) : args.vocab;
  double total = 0;
  for (int64_t i = 0; i < top_k; ++i) total += weight(order[i]);
  double mass = 0;
  for (int64_t i = 0; i < top_k; ++i) {
    if (i > 0 && args.top_p < 1 && mass >= static_cast<double>(args.top_p) * total) break;
    if (weight(order[i]) < static_cast<double>(args.min_p)) break;
    mass += probabilities[order[i]] = weight(order[i]);
  }
  for (double& probability : probabilities) probability /= mass;
  return probabilities;
}

void Logprobs(const LogprobsArgs& args) {
  const std::vector<TokenId> order = BestFirst(args.logits, args.vocab);
  const double largest = static_cast<double>(args.logits[order[0]]);
  double sum = 0;
  for (int64_t i = 0; i < args.vocab; ++i) sum += std::exp(static_cast<double>(args.logits[i]) - largest);
  const double log_sum = largest + std::log(sum);
  *args.logprob = static_cast<float>(static_cast<double>(args.logits[args.token]) - log_sum);
  for (int32_t i = 0; i < args.num_top; ++i) {
    args.top_ids[i] = order[i];
    args.top_logprobs[i] = static_cast<float>(static_cast<double>(args.logits[order[i]]) - log_sum);
  }
}

}  // namespace deeprack::kernels::reference
