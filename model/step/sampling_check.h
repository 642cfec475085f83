// Whether sampling parameters make sense. The scheduler asks before it accepts a request and the engine
// before it runs a step: what passes the first never fails the second.
#pragma once

#include "absl/status/status.h"
#include "model/step/sampling_params.h"

namespace deeprack::model {

// Of the likeliest tokens at a position, as many as may be asked for: they cost results of a step 8 bytes each, at
// every position. Enough for `deeprack perplexity` to compare distributions by.
inline constexpr int32_t kMostTopLogprobs = 512;

// InvalidArgument names the parameter, its value and its range. Token ids are not checked: they need a
// vocabulary.
absl::Status CheckSampling(const SamplingParams& params);

}  // namespace deeprack::model
