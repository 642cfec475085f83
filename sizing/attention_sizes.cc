#include "sizing/attention_sizes.h"

#include <algorithm>

namespace deeprack::sizing {

AttentionSizes::AttentionSizes(const kernels::KernelNeeds& kernels, const RankSpec& spec)
    : max_context_(spec.limits.max_context) {
  const model::ModelConfig& config = spec.config;
  if (!config.has_latent_attention()) return;
  const int64_t heads = config.num_attention_heads / spec.layout.tp;
  if (spec.prefill_attention == model::PrefillAttention::kExpanded) {
    expanded_ = {.type = spec.compute,
                 .heads = heads,
                 .nope_dim = config.qk_nope_head_dim,
                 .rope_dim = config.qk_rope_head_dim,
                 .value_dim = config.v_head_dim,
                 .latent_dim = config.kv_lora_rank,
                 .rows = spec.limits.max_step_tokens};
    expanded_bytes_ = kernels.expanded_plan_bytes;
  }
  if (kernels.mla_plan_bytes == nullptr || !kernels.planned_caches.Has(spec.cache_type)) return;
  const kernels::MlaShape shape = {.heads = heads,
                                   .latent_dim = config.kv_lora_rank,
                                   .rope_dim = config.qk_rope_head_dim,
                                   .rows = 1,
                                   .sequences = 1,
                                   .most_rows = 1,
                                   .max_context = max_context_,
                                   .cache_type = spec.cache_type};
  if (kernels.mla_plan_bytes(shape) == 0) return;
  model_ = shape;
  bytes_ = kernels.mla_plan_bytes;
}

int64_t AttentionSizes::ExpandedBytes(int64_t sequences) const {
  return expanded_bytes_ == nullptr || sequences == 0 ? 0
                                                      : expanded_bytes_(expanded_, sequences, max_context_);
}

kernels::MlaShape AttentionSizes::ShapeOf(int64_t rows, int64_t sequences, int64_t most_rows) const {
  kernels::MlaShape shape = model_;
  shape.rows = rows;
  shape.sequences = sequences;
  shape.most_rows = most_rows;
  return shape;
}

int64_t AttentionSizes::BytesOf(const kernels::MlaShape& shape) const {
  return bytes_ == nullptr || shape.rows == 0 ? 0 : bytes_(shape);
}

int64_t AttentionSizes::MostBytes(const model::StepLimits& limits) const {
  if (bytes_ == nullptr) return 0;
  int64_t most = 0;
  // The size does not always grow with the number of rows.
  for (int64_t rows = 1; rows <= limits.max_step_tokens; ++rows) {
    most = std::max(most, BytesOf(ShapeOf(rows, std::min(rows, limits.max_sequences), rows)));
  }
  return most;
}

}  // namespace deeprack::sizing
