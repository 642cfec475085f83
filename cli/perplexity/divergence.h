// The divergence of one distribution of the next token from another. Pure.
#pragma once

#include "cli/perplexity/scored_token.h"

namespace deeprack::cli {

struct Divergence {
  // Sum of p_reference * log(p_reference / p_model) over the tokens that both lists name and, where the lists
  // are not the whole vocabulary, over everything else taken as one. Merging tokens never adds to a KL
  // divergence: with partial lists this is a lower bound, the tighter the more of the mass is named.
  double kl = 0;
  double named_mass = 0;  // the reference's, on the tokens that both lists name
  bool same_top = false;  // the likeliest token is the same (among equals the lowest id)
};

// `whole`: both lists are the whole vocabulary.
Divergence DivergenceOf(const ScoredToken& reference, const ScoredToken& model, bool whole);

}  // namespace deeprack::cli
