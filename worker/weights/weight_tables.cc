#include "worker/weights/weight_tables.h"

#include <vector>

#include "base/checked.h"
#include "base/status_macros.h"

namespace deeprack::worker {
namespace {

using kernels::PackedWeight;

int64_t TableBytes(int64_t entries) {
  return RoundUp(entries * static_cast<int64_t>(sizeof(PackedWeight)), kArenaAlignment);
}

absl::Status Place(Device& device, Arena& arena, const std::vector<PackedWeight>& table,
                   const PackedWeight*& placed) {
  if (table.empty()) return absl::OkStatus();
  const int64_t bytes = static_cast<int64_t>(table.size() * sizeof(PackedWeight));
  DR_ASSIGN_OR_RETURN(std::byte * memory, arena.Allocate(bytes));
  DR_RETURN_IF_ERROR(device.CopyIn(memory, table.data(), bytes));
  placed = reinterpret_cast<const PackedWeight*>(memory);
  return absl::OkStatus();
}

}  // namespace

int64_t WeightTableBytes(const Device& device, const model::ModelConfig& config, const model::Layout& layout,
                         Rank rank) {
  if (device.shares_host_memory()) return 0;
  const auto [begin, end] = model::LayersOfStage(config, layout, model::CoordinatesOf(layout, rank).pp_rank);
  int64_t bytes = 0;
  for (int64_t layer = begin; layer < end; ++layer) {
    if (config.has_latent_attention()) bytes += 2 * TableBytes(config.num_attention_heads / layout.tp);
    if (config.is_moe_layer(layer)) bytes += 2 * TableBytes(config.n_routed_experts / layout.ep);
  }
  return bytes;
}

absl::StatusOr<Arena> PlaceWeightTables(Device& device, int64_t bytes, StageWeights& weights) {
  DR_ASSIGN_OR_RETURN(Arena arena, Arena::Create(device, "tables of weights", bytes));
  if (device.shares_host_memory()) return arena;
  for (LayerWeights& layer : weights.layers) {
    AttentionWeights& attention = layer.attention;
    DR_RETURN_IF_ERROR(Place(device, arena, attention.absorbed_key, attention.device_absorbed_key));
    DR_RETURN_IF_ERROR(Place(device, arena, attention.absorbed_value, attention.device_absorbed_value));
    if (!layer.moe) continue;
    DR_RETURN_IF_ERROR(Place(device, arena, layer.moe->gate_up, layer.moe->device_gate_up));
    DR_RETURN_IF_ERROR(Place(device, arena, layer.moe->down, layer.moe->device_down));
  }
  DR_RETURN_IF_ERROR(device.Synchronize());  // the host's tables were read
  return arena;
}

}  // namespace deeprack::worker
