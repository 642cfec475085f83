// Checks sampling parameters. The scheduler calls this before it accepts a request, and the engine before it
// runs a step, so a request that the scheduler accepts never fails in the engine.
#pragma once

#include "absl/status/status.h"
#include "model/step/sampling_params.h"

namespace deeprack::model {

// The most likely tokens that a request may ask for at a position. In a step's results each takes 8 bytes at
// every position. 512 are enough for `deeprack perplexity` to compare distributions.
inline constexpr int32_t kMostTopLogprobs = 512;

// InvalidArgument: the message names the parameter, its value and its range. Token ids in logit_bias are not
// checked, because that needs the size of the vocabulary.
absl::Status CheckSampling(const SamplingParams& params);

}  // namespace deeprack::model
