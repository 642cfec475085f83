#include "sizing/rank_footprint.h"

#include "base/checked.h"
#include "kernels/api/packed_weight.h"
#include "sizing/alignment.h"
#include "sizing/attention_sizes.h"
#include "sizing/kv_pages.h"
#include "sizing/scratch_bounds.h"
#include "sizing/step_buffers.h"

namespace deeprack::sizing {

namespace {

int64_t TableBytes(int64_t entries) {
  return RoundUp(entries * static_cast<int64_t>(sizeof(kernels::PackedWeight)), kArenaAlignment);
}

int64_t WeightTableBytes(const RankSpec& spec) {
  const auto of_layer = [&](int64_t layer) {
    int64_t bytes = 0;
    if (spec.config.has_latent_attention()) {
      bytes += 2 * TableBytes(spec.config.num_attention_heads / spec.layout.tp);
    }
    if (spec.config.is_moe_layer(layer)) {
      bytes += 2 * TableBytes(spec.config.n_routed_experts / spec.layout.ep);
    }
    return bytes;
  };
  const auto [begin, end] = spec.layers();
  int64_t bytes = spec.has_mtp() ? of_layer(spec.config.num_hidden_layers) : 0;
  for (int64_t layer = begin; layer < end; ++layer) bytes += of_layer(layer);
  return bytes;
}

kernels::ScratchBytes ScratchOf(const RankSpec& spec, const WeightManifest& manifest,
                                const AttentionSizes& attention, const DeviceNeeds& device) {
  if (device.kernels.scratch_bytes == nullptr) return {};
  return device.kernels.scratch_bytes(ScratchBoundsOf(spec, manifest, attention, device.multiprocessors));
}

}  // namespace

int64_t RankFootprint::scratch() const { return scratch_data + scratch_counters; }

int64_t RankFootprint::fixed() const {
  return weights + weight_tables + workspace + scratch() + step.total() + peers.bytes();
}

RankFootprint RankFootprintOf(const RankSpec& spec, const WeightManifest& manifest,
                              const DeviceNeeds& device) {
  const AttentionSizes attention(device.kernels, spec);
  const kernels::ScratchBytes scratch = ScratchOf(spec, manifest, attention, device);
  return {.weights = manifest.bytes,
          .weight_tables = device.shares_host_memory ? 0 : WeightTableBytes(spec),
          .workspace = WorkspaceBytes(spec, device.kernels),
          .scratch_data = RoundUp(scratch.data, kArenaAlignment),
          .scratch_counters = RoundUp(scratch.counters, kArenaAlignment),
          .step = StepAreasOf(spec, attention),
          .peers = PeerNeedsOf(spec, device.kernels),
          .page = KvPageBytes(spec)};
}

}  // namespace deeprack::sizing
