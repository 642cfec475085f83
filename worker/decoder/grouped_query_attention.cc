// Grouped-query attention (arXiv:2305.13245): several query heads share one key-value head. The cache holds
// keys (rotated) and values of all heads.
#include "base/status_macros.h"
#include "worker/decoder/decoder.h"
#include "worker/decoder/matrix_view.h"

namespace deeprack::worker {

using kernels::Matrix;

void Decoder::GroupedQueryAttention(const AttentionWeights& weights, void* cache, const Batch& batch) {
  const int64_t rows = batch.rows;
  const int64_t head_dim = config_.qk_head_dim();
  const int64_t heads = weights.q.n / head_dim;
  const int64_t kv_heads = weights.k->n / head_dim;
  const Matrix normed = FirstRows(ws_.normed, rows);
  const std::byte* const rounded = NormedFor(weights);
  const Matrix q = FirstRows(ws_.q, rows);
  const Matrix k = FirstRows(ws_.k, rows);
  const Matrix v = FirstRows(ws_.v, rows);
  const Matrix values = FirstRows(ws_.values, rows);
  const Matrix partial = FirstRows(ws_.partial, rows);

  const auto project = [&](const kernels::PackedWeight& weight, const float* bias, const Matrix& out) {
    kernels_.linear({.x = normed, .weight = weight, .out = out, .rounded = rounded}, execution_);
    if (bias == nullptr) return;
    const Matrix same_for_all = {
        .data = const_cast<float*>(bias), .type = DType::kF32, .rows = rows, .cols = out.cols, .stride = 0};
    kernels_.add({.a = out, .b = same_for_all}, execution_);
  };
  // The two values of a rotated pair are neighbours: packing moved the rows of q and k together.
  const auto rotate = [&](const Matrix& x, int64_t x_heads) {
    kernels_.rope({.x = x,
                   .heads = x_heads,
                   .head_stride = head_dim,
                   .offset = 0,
                   .rope_dim = head_dim,
                   .positions = batch.positions,
                   .cos = ws_.rope_cos,
                   .sin = ws_.rope_sin},
                  execution_);
  };
  project(weights.q, weights.q_bias, q);
  project(*weights.k, weights.k_bias, k);
  project(*weights.v, weights.v_bias, v);
  rotate(q, heads);
  rotate(k, kv_heads);

  // A cache entry: [keys of all heads, rotated | values of all heads].
  kernels_.kv_write(
      {.latent = k, .rope_key = v, .slots = batch.slots, .cache = cache, .cache_type = parts_.cache->type()},
      execution_);
  kernels_.gqa_attention({.q = q,
                          .heads = heads,
                          .kv_heads = kv_heads,
                          .head_dim = head_dim,
                          .scale = static_cast<float>(config_.attention_scale()),
                          .cache = cache,
                          .cache_type = parts_.cache->type(),
                          .sequences = batch.sequences,
                          .num_sequences = batch.num_sequences,
                          .out = values},
                         execution_);
  kernels_.linear({.x = values, .weight = weights.o, .out = partial}, execution_);
}

}  // namespace deeprack::worker
