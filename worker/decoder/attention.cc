// Multi-head latent attention. Absorbed rows: queries are multiplied into the latent space, attention is over
// latents, and the attended latents are multiplied into values. Generated positions are always absorbed.
// Prompt positions may be expanded (expanded_attention.cc).
#include "base/status_macros.h"
#include "kernels/api/mla_prepare.h"
#include "worker/decoder/decoder.h"
#include "worker/decoder/matrix_view.h"

namespace deeprack::worker {

void Decoder::Attention(const AttentionWeights& weights, void* cache, const Batch& batch) {
  if (weights.k) return GroupedQueryAttention(weights, cache, batch);
  const int64_t rows = batch.rows;
  const int64_t heads = config_.num_attention_heads / parts_.layout.tp;
  const int64_t latent_dim = config_.kv_lora_rank;
  const int64_t nope_dim = config_.qk_nope_head_dim;
  const float eps = static_cast<float>(config_.rms_norm_eps);
  const Matrix normed = FirstRows(ws_.normed, rows);
  const std::byte* const rounded = NormedFor(weights);
  const Matrix q = FirstRows(ws_.q, rows);
  const Matrix kv_a = FirstRows(ws_.kv_a, rows);
  const Matrix values = FirstRows(ws_.values, rows);
  const Matrix partial = FirstRows(ws_.partial, rows);

  // Queries: [rows, heads, nope | rope].
  if (weights.q_a) {
    const Matrix q_a = FirstRows(ws_.q_a, rows);
    std::byte* const q_a_rounded = ReadRounded(weights.q) ? ws_.q_a_rounded : nullptr;
    kernels_.linear({.x = normed, .weight = *weights.q_a, .out = q_a, .rounded = rounded}, execution_);
    kernels_.rms_norm({.x = q_a, .weight = weights.q_a_norm, .eps = eps, .out = q_a, .rounded = q_a_rounded},
                      execution_);
    kernels_.linear({.x = q_a, .weight = weights.q, .out = q, .rounded = q_a_rounded}, execution_);
  } else {
    kernels_.linear({.x = normed, .weight = weights.q, .out = q, .rounded = rounded}, execution_);
  }
  kernels_.linear({.x = normed, .weight = weights.kv_a, .out = kv_a, .rounded = rounded}, execution_);
  kernels::PrepareMla(kernels_,
                      {.kv = kv_a,
                       .latent_dim = latent_dim,
                       .norm_weight = weights.kv_a_norm,
                       .eps = eps,
                       .q = q,
                       .heads = heads,
                       .q_head_stride = config_.qk_head_dim(),
                       .q_rope_offset = nope_dim,
                       .positions = batch.positions,
                       .cos = ws_.rope_cos,
                       .sin = ws_.rope_sin,
                       .slots = batch.slots,
                       .cache = cache,
                       .cache_type = parts_.cache->type()},
                      execution_);

  if (batch.absorbed_rows > 0) AttendAbsorbed(weights, cache, batch);
  if (batch.expanded_rows > 0) AttendExpanded(weights, cache, batch);
  kernels_.linear({.x = values, .weight = weights.o, .out = partial}, execution_);
}

void Decoder::AttendAbsorbed(const AttentionWeights& weights, void* cache, const Batch& batch) {
  const int64_t rows = batch.absorbed_rows;
  const int64_t heads = config_.num_attention_heads / parts_.layout.tp;
  const int64_t latent_dim = config_.kv_lora_rank;
  const Matrix q = FirstRows(ws_.q, rows);
  const Matrix q_latent = FirstRows(ws_.q_latent, rows);
  const Matrix attended = FirstRows(ws_.attended, rows);
  const Matrix values = FirstRows(ws_.values, rows);
  kernels_.head_linear({.x = q,
                        .x_head_stride = config_.qk_head_dim(),
                        .weights = weights.absorbed_key.data(),
                        .heads = heads,
                        .out = q_latent,
                        .device_weights = weights.device_absorbed_key},
                       execution_);
  kernels_.mla_attention({.q_latent = q_latent,
                          .q_rope = q,
                          .q_rope_head_stride = config_.qk_head_dim(),
                          .q_rope_offset = config_.qk_nope_head_dim,
                          .heads = heads,
                          .latent_dim = latent_dim,
                          .rope_dim = config_.qk_rope_head_dim,
                          .scale = static_cast<float>(config_.attention_scale()),
                          .cache = cache,
                          .cache_type = parts_.cache->type(),
                          .sequences = batch.sequences,
                          .num_sequences = batch.num_sequences,
                          .out = attended,
                          .plan = batch.attention_plan,
                          .shape = batch.attention_shape,
                          .cache_tokens = parts_.cache->blocks() * kPageTokens},
                         execution_);
  kernels_.head_linear({.x = attended,
                        .x_head_stride = latent_dim,
                        .weights = weights.absorbed_value.data(),
                        .heads = heads,
                        .out = values,
                        .device_weights = weights.device_absorbed_value},
                       execution_);
}

}  // namespace deeprack::worker
