#include "sizing/rank_footprint.h"

#include <vector>

#include "base/checked.h"
#include "kernels/api/packed_weight.h"
#include "sizing/alignment.h"
#include "sizing/packed_tensors.h"
#include "sizing/scratch_bounds.h"

namespace deeprack::sizing {

namespace {

int64_t TableBytes(int64_t entries) {
  return RoundUp(entries * static_cast<int64_t>(sizeof(kernels::PackedWeight)), kArenaAlignment);
}

int64_t WeightTableBytes(const model::ModelConfig& config, const model::Layout& layout, Rank rank) {
  const auto [begin, end] = model::LayersOfStage(config, layout, model::CoordinatesOf(layout, rank).pp_rank);
  int64_t bytes = 0;
  for (int64_t layer = begin; layer < end; ++layer) {
    if (config.has_latent_attention()) bytes += 2 * TableBytes(config.num_attention_heads / layout.tp);
    if (config.is_moe_layer(layer)) bytes += 2 * TableBytes(config.n_routed_experts / layout.ep);
  }
  return bytes;
}

kernels::ScratchBytes ScratchOf(const WorkspaceSpec& spec, const std::vector<PackedTensor>& tensors,
                                const AttentionSizes& attention, const DeviceNeeds& device) {
  if (device.kernels.scratch_bytes == nullptr) return {};
  const kernels::MlaShape absorbed =
      attention.ShapeOf(spec.limits.max_step_tokens, spec.limits.max_sequences, 1);
  return device.kernels.scratch_bytes(
      ScratchBoundsOf(spec, tensors, absorbed, attention.expanded(), device.multiprocessors));
}

}  // namespace

int64_t RankFootprint::scratch() const { return scratch_data + scratch_counters; }

int64_t RankFootprint::fixed() const {
  return weights + weight_tables + workspace + scratch() + step.total() + peers.bytes();
}

AttentionSizes::Spec AttentionSpecOf(const RankSpec& spec) {
  return {.config = spec.config,
          .layout = spec.layout,
          .prefill = spec.prefill_attention,
          .compute = spec.compute,
          .cache_type = spec.cache_type,
          .limits = spec.limits};
}

WorkspaceSpec WorkspaceSpecOf(const RankSpec& spec, const kernels::KernelNeeds& kernels) {
  return {.config = spec.config,
          .layout = spec.layout,
          .rank = spec.rank,
          .compute = spec.compute,
          .expert_exchange = spec.expert_exchange,
          .limits = spec.limits,
          .rounded_rows = kernels.reads_rounded != nullptr};
}

RankFootprint RankFootprintOf(const RankSpec& spec, const WeightForms& forms, const DeviceNeeds& device) {
  const WorkspaceSpec workspace = WorkspaceSpecOf(spec, device.kernels);
  const std::vector<PackedTensor> tensors =
      PackedTensorsOf(spec.config, spec.layout, spec.rank, spec.compute, forms.types, forms.row_major);
  const AttentionSizes attention(device.kernels, AttentionSpecOf(spec));
  const kernels::ScratchBytes scratch = ScratchOf(workspace, tensors, attention, device);
  RankFootprint footprint = {.workspace = WorkspaceBytes(workspace),
                             .scratch_data = RoundUp(scratch.data, kArenaAlignment),
                             .scratch_counters = RoundUp(scratch.counters, kArenaAlignment),
                             .step = StepAreasOf(spec.limits, spec.config.vocab_size, attention),
                             .peers = PeerNeedsOf(workspace, device.kernels),
                             .page = KvPageBytes(spec.config, spec.layout, spec.rank, spec.cache_type)};
  for (const PackedTensor& tensor : tensors) footprint.weights += tensor.bytes();
  if (!device.shares_host_memory) {
    footprint.weight_tables = WeightTableBytes(spec.config, spec.layout, spec.rank);
  }
  return footprint;
}

}  // namespace deeprack::sizing
