#include "kernels/cpu/draw.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "kernels/cpu/philox.h"

namespace deeprack::kernels {
namespace {

struct Candidate {
  float weight;
  TokenId token;
};

bool Better(const Candidate& a, const Candidate& b) {
  return a.weight != b.weight ? a.weight > b.weight : a.token < b.token;
}

// The likeliest tokens, best first: at least all that top_k, top_p and min_p keep. Sorting the whole
// vocabulary is avoided by collecting only what exceeds a threshold, lowered until enough is above it.
void CollectCandidates(const float* weights, const SampleArgs& args, double total,
                       std::vector<Candidate>& candidates) {
  for (float threshold : {0x1p-4f, 0x1p-8f, 0x1p-16f, 0.0f}) {
    // Without top_k nothing below min_p matters: the mass that top_p is a part of is known.
    const bool floor = args.top_k <= 0 && threshold <= args.min_p;
    if (floor) threshold = args.min_p;
    candidates.clear();
    double mass = 0;
    for (int64_t i = 0; i < args.vocab; ++i) {
      if (weights[i] >= threshold && weights[i] > 0) {
        candidates.push_back({weights[i], static_cast<TokenId>(i)});
        mass += weights[i];
      }
    }
    const bool enough = args.top_k > 0 ? static_cast<int64_t>(candidates.size()) >= args.top_k
                                       : args.top_p < 1 && mass >= args.top_p * total;
    if (floor || enough) break;
  }
  const size_t keep = args.top_k > 0 ? std::min<size_t>(args.top_k, candidates.size()) : candidates.size();
  std::partial_sort(candidates.begin(), candidates.begin() + keep, candidates.end(), Better);
  candidates.resize(keep);
}

// Cuts sorted candidates to the smallest prefix with top_p of the mass, and to those of at least min_p of the
// best.
void Truncate(const SampleArgs& args, double total, std::vector<Candidate>& candidates) {
  if (args.top_k > 0) {
    total = 0;
    for (const Candidate& candidate : candidates) total += candidate.weight;
  }
  size_t keep = 0;
  double mass = 0;
  while (keep < candidates.size()) {
    if (keep > 0 && args.top_p < 1 && mass >= args.top_p * total) break;
    if (candidates[keep].weight < args.min_p * candidates[0].weight) break;
    mass += candidates[keep++].weight;
  }
  candidates.resize(keep);
}

}  // namespace

TokenId DrawToken(const float* weights, const SampleArgs& args) {
  double total = 0;
  for (int64_t i = 0; i < args.vocab; ++i) total += weights[i];
  const double uniform = UniformDraw(args.seed, args.position);
  const bool all = (args.top_k <= 0 || args.top_k >= args.vocab) && args.top_p >= 1 && args.min_p <= 0;
  TokenId last = 0;  // also the answer when rounding leaves the target just above the last sum
  double sum = 0;
  if (all) {
    for (int64_t i = 0; i < args.vocab; ++i) {
      if (!(weights[i] > 0)) continue;
      last = static_cast<TokenId>(i);
      sum += weights[i];
      if (sum > uniform * total) break;
    }
    return last;
  }
  std::vector<Candidate> candidates;
  CollectCandidates(weights, args, total, candidates);
  Truncate(args, total, candidates);
  double mass = 0;
  for (const Candidate& candidate : candidates) mass += candidate.weight;
  for (const Candidate& candidate : candidates) {
    last = candidate.token;
    sum += candidate.weight;
    if (sum > uniform * mass) break;
  }
  return last;
}

void LargestLogits(const float* logits, int64_t vocab, int32_t count, TokenId* ids, float* values) {
  int32_t found = 0;
  for (int64_t i = 0; i < vocab && count > 0; ++i) {
    const float logit = logits[i];
    if (found == count ? !(logit > values[count - 1]) : logit != logit) continue;
    int32_t place = found < count ? found++ : count - 1;
    for (; place > 0 && logit > values[place - 1]; --place) {
      values[place] = values[place - 1];
      ids[place] = ids[place - 1];
    }
    values[place] = logit;
    ids[place] = static_cast<TokenId>(i);
  }
  for (; found < count; ++found) {
    values[found] = -std::numeric_limits<float>::infinity();
    ids[found] = -1;
  }
}

}  // namespace deeprack::kernels
