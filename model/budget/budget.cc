#include "model/budget/budget.h"

#include "base/block_formats.h"
#include "base/checked.h"
#include "base/fp8_kv_page.h"
#include "model/budget/packed_tensors.h"
#include "model/shard/shard.h"

namespace deeprack::model {
namespace {

constexpr int64_t kScaleBlock = 128;

}  // namespace

int64_t PackedValueBytes(DType type, int64_t rows, int64_t cols, WeightLayout layout) {
  if (IsTiles(layout)) return CeilDiv(rows, kTileRows) * (cols / BlockElements(type)) * kTileBytes;
  const int64_t blocks = CeilDiv(rows, kPanelRows) * (cols / BlockElements(type));  // of a panel's rows
  return RoundUp(blocks * PackedBlockBytes(type), kWeightAlignment);
}

int64_t PackedScaleBytes(DType type, int64_t rows, int64_t cols, int64_t col_begin, WeightLayout layout) {
  if (type != DType::kF8E4M3) return 0;
  const int64_t panels = CeilDiv(rows, kPanelRows);
  const int64_t blocks = CeilDiv(col_begin % kScaleBlock + cols, kScaleBlock);
  const int64_t scale = static_cast<int64_t>(sizeof(float));
  const int64_t scales_of_panel = layout == WeightLayout::kRows ? 2 : kPanelRows;
  return RoundUp(panels * blocks * scales_of_panel * scale, kWeightAlignment);
}

int64_t PackedWeightBytes(DType type, int64_t rows, int64_t cols, int64_t col_begin) {
  return PackedValueBytes(type, rows, cols) + PackedScaleBytes(type, rows, cols, col_begin);
}

int64_t KvEntryElements(const ModelConfig& config, const Layout& layout, Rank rank) {
  if (config.has_latent_attention()) return config.kv_lora_rank + config.qk_rope_head_dim;
  const auto [begin, end] = KeyValueHeadsOfRank(config, layout, CoordinatesOf(layout, rank).tp_rank);
  return (end - begin) * (config.qk_head_dim() + config.v_head_dim);
}

int64_t KvPageBytes(const ModelConfig& config, const Layout& layout, Rank rank, DType cache_type) {
  const auto [begin, end] = LayersOfStage(config, layout, CoordinatesOf(layout, rank).pp_rank);
  if (cache_type == DType::kF8E4M3) {
    return (end - begin) * Fp8KvPage{config.kv_lora_rank, config.qk_rope_head_dim}.bytes();
  }
  const int64_t entry = KvEntryElements(config, layout, rank);
  return (end - begin) * kPageTokens * entry * static_cast<int64_t>(SizeOf(cache_type));
}

int64_t WeightBytes(const ModelConfig& config, const Layout& layout, Rank rank, DType compute,
                    const TensorTypes& types, const RowMajorTypes& row_major) {
  int64_t bytes = 0;
  for (const PackedTensor& tensor : PackedTensorsOf(config, layout, rank, compute, types, row_major)) {
    bytes += tensor.bytes();
  }
  return bytes;
}

}  // namespace deeprack::model
