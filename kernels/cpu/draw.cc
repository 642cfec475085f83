#include "kernels/cpu/draw.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "kernels/draw/mass.h"

namespace deeprack::kernels {
namespace {

struct Candidate {
  float weight;
  TokenId token;
};

bool Better(const Candidate& a, const Candidate& b) {
  return a.weight != b.weight ? a.weight > b.weight : a.token < b.token;
}

// The likeliest tokens, likeliest first: at least all tokens that top_k, top_p and min_p keep. Only tokens
// above a threshold are collected and sorted; the threshold is lowered until enough tokens are above it.
void CollectCandidates(const float* weights, int64_t vocab, const Draw& draw, Mass total,
                       std::vector<Candidate>& candidates) {
  for (float threshold : {0x1p-4f, 0x1p-8f, 0x1p-16f, 0.0f}) {
    // Without top_k the total mass is known, so tokens below min_p are not needed for top_p.
    const bool floor = draw.top_k <= 0 && threshold <= draw.min_p;
    if (floor) threshold = draw.min_p;
    candidates.clear();
    Mass mass = 0;
    for (int64_t i = 0; i < vocab; ++i) {
      if (weights[i] >= threshold && weights[i] > 0) {
        candidates.push_back({weights[i], static_cast<TokenId>(i)});
        mass += MassOf(weights[i]);
      }
    }
    const bool enough = draw.top_k > 0 ? static_cast<int64_t>(candidates.size()) >= draw.top_k
                                       : draw.top_p < 1 && mass >= NeededMass(draw.top_p, total);
    if (floor || enough) break;
  }
  const size_t keep = draw.top_k > 0 ? std::min<size_t>(draw.top_k, candidates.size()) : candidates.size();
  std::partial_sort(candidates.begin(), candidates.begin() + keep, candidates.end(), Better);
  candidates.resize(keep);
}

// Cuts sorted candidates to the smallest prefix with the share top_p of the mass and to candidates of at
// least min_p of the likeliest one. Returns the mass of the candidates that are left.
Mass Truncate(const Draw& draw, Mass total, std::vector<Candidate>& candidates) {
  if (draw.top_k > 0) {
    total = 0;
    for (const Candidate& candidate : candidates) total += MassOf(candidate.weight);
  }
  const Mass needed = draw.top_p < 1 ? NeededMass(draw.top_p, total) : total;
  size_t keep = 0;
  Mass mass = 0;
  while (keep < candidates.size()) {
    if (keep > 0 && draw.top_p < 1 && mass >= needed) break;
    if (candidates[keep].weight < draw.min_p * candidates[0].weight) break;
    mass += MassOf(candidates[keep++].weight);
  }
  candidates.resize(keep);
  return mass;
}

}  // namespace

TokenId DrawToken(const float* weights, int64_t vocab, const Draw& draw) {
  Mass total = 0;
  for (int64_t i = 0; i < vocab; ++i) total += MassOf(weights[i]);
  if (total == 0) return -1;
  const bool all = (draw.top_k <= 0 || draw.top_k >= vocab) && draw.top_p >= 1 && draw.min_p <= 0;
  Mass sum = 0;
  if (all) {
    const Mass drawn = DrawnMass(draw.seed, draw.position, total);
    int64_t token = 0;
    while ((sum += MassOf(weights[token])) <= drawn) ++token;
    return static_cast<TokenId>(token);
  }
  std::vector<Candidate> candidates;
  CollectCandidates(weights, vocab, draw, total, candidates);
  const Mass drawn = DrawnMass(draw.seed, draw.position, Truncate(draw, total, candidates));
  size_t place = 0;
  while ((sum += MassOf(candidates[place].weight)) <= drawn) ++place;
  return candidates[place].token;
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
