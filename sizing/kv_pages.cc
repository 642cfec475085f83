#include "sizing/kv_pages.h"

#include <algorithm>

#include "base/checked.h"
#include "base/fp8_kv_page.h"
#include "base/ids.h"
#include "model/shard/shard.h"

namespace deeprack::sizing {

int64_t KvEntryElements(const RankSpec& spec) {
  const model::ModelConfig& config = spec.config;
  if (config.has_latent_attention()) return config.kv_lora_rank + config.qk_rope_head_dim;
  const auto [begin, end] = model::KeyValueHeadsOfRank(config, spec.layout, spec.coordinates().tp_rank);
  return (end - begin) * (config.qk_head_dim() + config.v_head_dim);
}

int64_t KvPageBytes(const RankSpec& spec) {
  if (spec.cache_type == DType::kF8E4M3) {
    return spec.cache_layers() * Fp8KvPage{spec.config.kv_lora_rank, spec.config.qk_rope_head_dim}.bytes();
  }
  return spec.cache_layers() * kPageTokens * KvEntryElements(spec) *
         static_cast<int64_t>(SizeOf(spec.cache_type));
}

int64_t MostBlocks(const model::StepLimits& limits) {
  return std::min<int64_t>(limits.max_sequences * CeilDiv(limits.max_context, kPageTokens), INT32_MAX);
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

}  // namespace deeprack::sizing
