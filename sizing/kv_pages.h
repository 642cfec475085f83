// How large a page of the KV cache is, and how many there are.
#pragma once

#include <cstdint>
#include <span>

#include "sizing/rank_spec.h"

namespace deeprack::sizing {

// Elements that the rank caches for each token and layer. Latent attention: latent and rope key, kv_lora_rank
// + qk_rope_head_dim. Grouped-query attention: the keys, then the values, of the rank's key-value heads.
int64_t KvEntryElements(const RankSpec& spec);

// Bytes of one KV page over the rank's cache_layers(). With cache_type kBF16 or kF32: KvEntryElements
// for each of kPageTokens tokens and each layer. With kF8E4M3, which model::CheckKvCacheType must allow: an
// Fp8KvPage for each layer.
int64_t KvPageBytes(const RankSpec& spec);

// Pages for max_sequences sequences of max_context tokens. More pages could never be used. A page takes no
// memory of a machine before it is written.
int64_t MostBlocks(const model::StepLimits& limits);

// The memory of one rank, for the agreement on the number of pages.
struct RankMemory {
  uint64_t host = 0;            // equal for ranks of one memory: a machine's or a card's
  int64_t available_bytes = 0;  // free in that memory
  int64_t fixed_bytes = 0;      // weights and workspace
  int64_t page_bytes = 0;       // one page over the rank's layers
  int64_t kv_bytes = 0;         // for the KV cache, as set by the user; 0: a share of that memory
  int64_t held_bytes = 0;       // already allocated by the rank: weights, workspace, pages
};

struct PageAgreement {
  int64_t blocks = 0;    // may be 0
  int64_t tightest = 0;  // the rank with the fewest pages; the first of equals
};

// The number of pages that every rank can hold: the least over the ranks, at most `most_blocks`. A rank with
// kv_bytes 0 gets an equal part of nine tenths of the memory it shares, less its weights and workspace.
PageAgreement AgreeOnBlocks(std::span<const RankMemory> ranks, int64_t most_blocks);

}  // namespace deeprack::sizing
