#include "worker/weights/weight_tables.h"

#include <vector>

#include "base/status_macros.h"

namespace deeprack::worker {
namespace {

using kernels::PackedWeight;

absl::Status Place(Device& device, Arena& arena, const std::vector<PackedWeight>& table,
                   const PackedWeight*& placed) {
  if (table.empty()) return absl::OkStatus();
  const int64_t bytes = static_cast<int64_t>(table.size() * sizeof(PackedWeight));
  DR_ASSIGN_OR_RETURN(std::byte * memory, arena.Allocate(bytes));
  DR_RETURN_IF_ERROR(device.CopyIn(memory, table.data(), bytes));
  placed = reinterpret_cast<const PackedWeight*>(memory);
  return absl::OkStatus();
}

absl::Status PlaceLayer(Device& device, Arena& arena, LayerWeights& layer) {
  AttentionWeights& attention = layer.attention;
  DR_RETURN_IF_ERROR(Place(device, arena, attention.absorbed_key, attention.device_absorbed_key));
  DR_RETURN_IF_ERROR(Place(device, arena, attention.absorbed_value, attention.device_absorbed_value));
  if (!layer.moe) return absl::OkStatus();
  DR_RETURN_IF_ERROR(Place(device, arena, layer.moe->gate_up, layer.moe->device_gate_up));
  return Place(device, arena, layer.moe->down, layer.moe->device_down);
}

}  // namespace

absl::StatusOr<Arena> PlaceWeightTables(Device& device, int64_t bytes, StageWeights& weights) {
  DR_ASSIGN_OR_RETURN(Arena arena, Arena::Create(device, "tables of weights", bytes));
  if (device.shares_host_memory()) return arena;
  for (LayerWeights& layer : weights.layers) DR_RETURN_IF_ERROR(PlaceLayer(device, arena, layer));
  if (weights.mtp) DR_RETURN_IF_ERROR(PlaceLayer(device, arena, weights.mtp->layer));
  DR_RETURN_IF_ERROR(device.Synchronize());  // the copies must be done before `weights` changes
  return arena;
}

}  // namespace deeprack::worker
