// The KV cache of one pipeline stage: numbered pages of kPageTokens tokens in each of its layers. Who
// owns a page is the coordinator's business; here a block table is obeyed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/statusor.h"
#include "base/dtype.h"
#include "model/layout/layout.h"
#include "worker/device/arena.h"

namespace deeprack::worker {

class KvCache {
 public:
  // `blocks` pages; blocks * model::KvPageBytes bytes of the device's memory in all.
  static absl::StatusOr<KvCache> Create(Device& device, const model::ModelConfig& config,
                                        const model::Layout& layout, Rank rank, DType type, int64_t blocks);

  // One of the stage's layers, counted from its first: [blocks * kPageTokens, model::KvEntryElements], or
  // blocks of Fp8KvPage.
  void* layer(int64_t stage_layer) const { return base_ + stage_layer * layer_bytes_; }
  DType type() const { return type_; }
  int64_t blocks() const { return blocks_; }
  int64_t bytes() const { return arena_.capacity(); }

 private:
  KvCache(Arena arena, std::byte* base, DType type, int64_t blocks, int64_t layer_bytes);

  Arena arena_;
  std::byte* base_;
  DType type_;
  int64_t blocks_;
  int64_t layer_bytes_;
};

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

}  // namespace deeprack::worker
