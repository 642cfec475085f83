// Types of the ids that coordinator and workers exchange.
#pragma once

#include <cstdint>

namespace deeprack {

using SequenceId = uint64_t;  // one sequence of one request; unique while the coordinator runs
using StepId = uint64_t;      // increases within an epoch
using Epoch = uint64_t;  // number of a membership with its layout; a worker rejects steps of older epochs
using Rank = int32_t;    // 0 .. world_size-1 in the layout
using SequenceSlot = int32_t;  // number under which the ranks of a dp group keep a sequence
using TokenId = int32_t;
using BlockId = int32_t;  // number of a KV page; means the same page on every rank of one dp group

// Tokens per KV page, on every backend.
inline constexpr int32_t kPageTokens = 64;

}  // namespace deeprack
