// The parts of sampling without vector code: drawing a token from unnormalised probabilities, and finding the
// largest logits.
#pragma once

#include <cstdint>

#include "kernels/api/sampling.h"

namespace deeprack::kernels {

// Draws a token by the draw's top_k, top_p, min_p, seed and position. weights [vocab] is exp((logit -
// largest) / temperature). Returns -1 when no token has mass.
TokenId DrawToken(const float* weights, int64_t vocab, const Draw& draw);

// Writes the `count` largest logits, largest first (ties: the lower id). Entries beyond the vocabulary get id
// -1 and -infinity.
void LargestLogits(const float* logits, int64_t vocab, int32_t count, TokenId* ids, float* values);

}  // namespace deeprack::kernels
