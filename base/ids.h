// Names of things that travel between coordinator and workers.
#pragma once

#include <cstdint>

namespace deeprack {

using SequenceId = uint64_t;  // one generation; unique for the coordinator's life
using StepId = uint64_t;      // counts up within an epoch
using Epoch = uint64_t;       // one membership and layout; a worker rejects steps of an older one
using Rank = int32_t;         // 0 .. world_size-1 in the layout
using TokenId = int32_t;
using BlockId = int32_t;      // a page of the KV cache on every rank of one dp group

// Tokens per KV page, everywhere.
inline constexpr int32_t kPageTokens = 64;

}  // namespace deeprack
