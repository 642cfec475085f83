// The log-probability that a model gives to one token of a text after the tokens before it.
#pragma once

#include <vector>

#include "base/ids.h"

namespace deeprack::cli {

struct TokenLogprob {
  TokenId token = 0;
  float logprob = 0;
};

struct ScoredToken {
  float logprob = 0;              // natural logarithm, of the token in the text
  std::vector<TokenLogprob> top;  // the likeliest tokens at its position, ascending by id
};

}  // namespace deeprack::cli
