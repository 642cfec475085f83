// `deeprack perplexity`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/perplexity/mean.h"
#include "settings/settings.h"

namespace deeprack::cli {

struct PerplexityOptions {
  std::string text;       // a file
  std::string reference;  // a model to compare with; "": none
  int64_t context = 512;  // tokens of a window, see windows.h; >= 4
  int64_t windows = 0;    // the most windows that are scored; 0: all
  int32_t top = 512;      // tokens of each distribution that are compared with the reference's
};

struct PerplexityResult {
  std::string model;  // its name
  int64_t windows = 0;
  std::vector<float> losses;  // minus the logarithm of each scored token's probability
  Mean loss;                  // the mean of `losses`
  Mean reference_loss;        // the mean loss of the reference
  Mean kl, same_top, named_mass;
  bool whole = false;  // true: the compared distributions are whole, see divergence.h

  double perplexity() const;
  double perplexity_error() const;  // to first order, as in llama.cpp
};

// Measures options.text with the model of `serve`, and with the reference model if options name one. The
// models are served one after the other with the settings of `serve`, the reference with a KV cache of the
// compute type. Returns the exit code; after 0, `result` is filled in.
int MeasurePerplexity(const PerplexityOptions& options, const Settings& serve, PerplexityResult& result);

// MeasurePerplexity, and prints the result.
int Perplexity(const PerplexityOptions& options, const Settings& serve);

}  // namespace deeprack::cli
