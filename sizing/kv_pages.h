// How large a page of the KV cache is, and how many there are.
#pragma once

#include <cstdint>
#include <span>

#include "sizing/rank_spec.h"

namespace deeprack::sizing {

// Elements that the rank caches per token and layer: latent and rope key (kv_lora_rank + qk_rope_head_dim),
// or the keys, then the values of its key-value heads.
int64_t KvEntryElements(const RankSpec& spec);

// Bytes of one KV page over all layers of the rank's stage. With cache_type kBF16 or kF32: KvEntryElements
// for each of kPageTokens tokens and each layer. With kF8E4M3, which model::CheckKvCacheType must allow: an
// Fp8KvPage for each layer.
int64_t KvPageBytes(const RankSpec& spec);

// Pages beyond which nothing could be stored: every sequence at full length. They cost nothing until written.
int64_t MostBlocks(const model::StepLimits& limits);

// What one rank brings to the agreement on the number of pages.
struct RankMemory {
  uint64_t host = 0;            // equal for ranks that share a memory: a machine's, a card's
  int64_t available_bytes = 0;  // of that memory, beside what its ranks hold
  int64_t fixed_bytes = 0;      // weights and workspace
  int64_t page_bytes = 0;       // one page over the rank's layers
  int64_t kv_bytes = 0;         // asked for; 0: a share of that memory
  int64_t held_bytes = 0;       // what of all this the rank has already
};

struct PageAgreement {
  int64_t blocks = 0;    // may be 0
  int64_t tightest = 0;  // the rank that set it; the first of equals
};

// The pages that every rank can hold: the least over the ranks, at most `most_blocks`. A rank without a wish
// gets an equal part of nine tenths of the available memory it shares, less its weights and workspace.
PageAgreement AgreeOnBlocks(std::span<const RankMemory> ranks, int64_t most_blocks);

}  // namespace deeprack::sizing
