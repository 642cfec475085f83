#include "cli/perplexity/divergence.h"

#include <algorithm>
#include <cmath>

namespace deeprack::cli {
namespace {

// A mass is the sum of many rounded probabilities. A mass below this value is rounding.
constexpr double kRounding = 1e-6;

TokenId TopOf(const ScoredToken& scored) {
  TokenId best = -1;
  float logprob = 0;
  for (const TokenLogprob& entry : scored.top) {  // ascending ids: among equals the lowest id wins
    if (best < 0 || entry.logprob > logprob) {
      best = entry.token;
      logprob = entry.logprob;
    }
  }
  return best;
}

}  // namespace

Divergence DivergenceOf(const ScoredToken& reference, const ScoredToken& model, bool whole) {
  Divergence result = {.same_top = TopOf(reference) == TopOf(model)};
  double model_mass = 0;
  auto other = model.top.begin();
  for (const TokenLogprob& entry : reference.top) {
    while (other != model.top.end() && other->token < entry.token) ++other;
    if (other == model.top.end()) break;
    if (other->token != entry.token) continue;
    const double probability = std::exp(static_cast<double>(entry.logprob));
    result.kl += probability * (static_cast<double>(entry.logprob) - static_cast<double>(other->logprob));
    result.named_mass += probability;
    model_mass += std::exp(static_cast<double>(other->logprob));
  }
  const double rest = 1 - result.named_mass;
  if (!whole && rest > kRounding) result.kl += rest * std::log(rest / std::max(1 - model_mass, kRounding));
  return result;
}

}  // namespace deeprack::cli
