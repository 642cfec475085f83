// The divergence of one distribution of the next token from another. Pure.
#pragma once

#include "cli/perplexity/scored_token.h"

namespace deeprack::cli {

struct Divergence {
  // The sum of p_reference * log(p_reference / p_model) over the tokens that both lists name. When the lists
  // are not the whole vocabulary, all other tokens are added as one token. Merging tokens never adds to a KL
  // divergence, so partial lists give a lower bound; more named mass makes the bound tighter.
  double kl = 0;
  double named_mass = 0;  // the reference's probability of the tokens that both lists name
  bool same_top = false;  // the likeliest token is the same (among equals the lowest id)
};

// `whole`: both lists are the whole vocabulary.
Divergence DivergenceOf(const ScoredToken& reference, const ScoredToken& model, bool whole);

}  // namespace deeprack::cli
