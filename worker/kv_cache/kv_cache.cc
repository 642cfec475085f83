#include "worker/kv_cache/kv_cache.h"

#include <utility>

#include "base/status_macros.h"
#include "sizing/kv_pages.h"

namespace deeprack::worker {

KvCache::KvCache(Arena arena, std::byte* base, DType type, int64_t blocks, int64_t layer_bytes)
    : arena_(std::move(arena)), base_(base), type_(type), blocks_(blocks), layer_bytes_(layer_bytes) {}

absl::StatusOr<KvCache> KvCache::Create(Device& device, const sizing::RankSpec& spec, int64_t blocks) {
  const int64_t bytes = blocks * sizing::KvPageBytes(spec);
  DR_ASSIGN_OR_RETURN(Arena arena, Arena::Create(device, "KV cache", bytes));
  DR_ASSIGN_OR_RETURN(std::byte * base, arena.Allocate(bytes));
  return KvCache(std::move(arena), base, spec.cache_type, blocks, bytes / spec.cache_layers());
}

}  // namespace deeprack::worker
