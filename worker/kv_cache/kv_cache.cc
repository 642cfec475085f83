#include "worker/kv_cache/kv_cache.h"

#include <algorithm>
#include <utility>

#include "base/status_macros.h"
#include "model/budget/budget.h"

namespace deeprack::worker {

KvCache::KvCache(Arena arena, std::byte* base, DType type, int64_t blocks, int64_t layer_bytes)
    : arena_(std::move(arena)), base_(base), type_(type), blocks_(blocks), layer_bytes_(layer_bytes) {}

absl::StatusOr<KvCache> KvCache::Create(Device& device, const model::ModelConfig& config,
                                        const model::Layout& layout, Rank rank, DType type, int64_t blocks) {
  const int64_t bytes = blocks * model::KvPageBytes(config, layout, rank, type);
  DR_ASSIGN_OR_RETURN(Arena arena, Arena::Create(device, "KV cache", bytes));
  DR_ASSIGN_OR_RETURN(std::byte * base, arena.Allocate(bytes));
  const auto [begin, end] = model::LayersOfStage(config, layout, model::CoordinatesOf(layout, rank).pp_rank);
  return KvCache(std::move(arena), base, type, blocks, bytes / (end - begin));
}

PageAgreement AgreeOnBlocks(std::span<const RankMemory> ranks, int64_t most_blocks) {
  PageAgreement agreement = {.blocks = most_blocks};
  for (size_t i = 0; i < ranks.size(); ++i) {
    const RankMemory& rank = ranks[i];
    int64_t bytes = rank.kv_bytes;
    if (bytes == 0) {
      int64_t neighbours = 0, memory = rank.available_bytes;
      for (const RankMemory& other : ranks) {
        if (other.host != rank.host) continue;
        ++neighbours;
        memory += other.held_bytes;
      }
      bytes = std::max<int64_t>(0, memory / 10 * 9 / neighbours - rank.fixed_bytes);
    }
    const int64_t blocks = bytes / rank.page_bytes;
    if (blocks < agreement.blocks) agreement = {.blocks = blocks, .tightest = static_cast<int64_t>(i)};
  }
  return agreement;
}

}  // namespace deeprack::worker
