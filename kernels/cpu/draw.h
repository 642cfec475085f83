// Drawing a token from unnormalised probabilities, and finding the largest logits: the parts of sampling
// without vector code.
#pragma once

#include <cstdint>

#include "kernels/api/sampling.h"

namespace deeprack::kernels {

// A token by the draw's top_k, top_p, min_p, seed and position. weights: [vocab], exp((logit - largest) /
// temperature). -1 when nothing has mass.
TokenId DrawToken(const float* weights, int64_t vocab, const Draw& draw);

// The `count` largest logits, best first, the lower id first among equals; ids -1 and -infinity when there
// are fewer.
void LargestLogits(const float* logits, int64_t vocab, int32_t count, TokenId* ids, float* values);

}  // namespace deeprack::kernels
