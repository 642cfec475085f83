// Latent attention of the expanded rows: queries, keys and values have full heads.
#include "worker/decoder/decoder.h"
#include "worker/decoder/matrix_view.h"

namespace deeprack::worker {

void Decoder::AttendExpanded(const AttentionWeights& weights, void* cache, const Batch& batch) {
  kernels_.expanded_attention({.q = RowsOf(ws_.q, batch.absorbed_rows, batch.expanded_rows),
                               .shape = parts_.expanded,
                               .scale = static_cast<float>(config_.attention_scale()),
                               .key_weights = weights.absorbed_key.data(),
                               .value_weights = weights.absorbed_value.data(),
                               .device_key_weights = weights.device_absorbed_key,
                               .device_value_weights = weights.device_absorbed_value,
                               .cache = cache,
                               .cache_type = parts_.cache->type(),
                               .sequences = batch.expanded_sequences,
                               .host_sequences = batch.host_expanded,
                               .num_sequences = batch.num_expanded,
                               .out = RowsOf(ws_.values, batch.absorbed_rows, batch.expanded_rows),
                               .plan = batch.expanded_plan},
                              execution_);
}

}  // namespace deeprack::worker
