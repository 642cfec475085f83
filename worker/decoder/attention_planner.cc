#include "worker/decoder/attention_planner.h"

#include <algorithm>

namespace deeprack::worker {

AttentionPlanner::AttentionPlanner(const kernels::KernelSet& kernels, const model::ModelConfig& config,
                                   const model::Layout& layout, DType cache_type, int64_t max_context) {
  if (kernels.plan_mla == nullptr || !config.has_latent_attention() ||
      !kernels.planned_caches.Has(cache_type))
    return;
  const kernels::MlaShape shape = {.heads = config.num_attention_heads / layout.tp,
                                   .latent_dim = config.kv_lora_rank,
                                   .rope_dim = config.qk_rope_head_dim,
                                   .rows = 1,
                                   .sequences = 1,
                                   .most_rows = 1,
                                   .max_context = max_context,
                                   .cache_type = cache_type};
  if (kernels.mla_plan_bytes(shape) == 0) return;
  model_ = shape;
  bytes_ = kernels.mla_plan_bytes;
  plan_ = kernels.plan_mla;
}

kernels::MlaShape AttentionPlanner::ShapeOf(int64_t rows, int64_t sequences, int64_t most_rows) const {
  kernels::MlaShape shape = model_;
  shape.rows = rows;
  shape.sequences = sequences;
  shape.most_rows = most_rows;
  return shape;
}

int64_t AttentionPlanner::BytesOf(const kernels::MlaShape& shape) const {
  return bytes_ == nullptr || shape.rows == 0 ? 0 : bytes_(shape);
}

int64_t AttentionPlanner::MostBytes(const model::StepLimits& limits) const {
  if (bytes_ == nullptr) return 0;
  int64_t most = 0;
  // More rows do not always take more.
  for (int64_t rows = 1; rows <= limits.max_step_tokens; ++rows) {
    most = std::max(most, BytesOf(ShapeOf(rows, std::min(rows, limits.max_sequences), rows)));
  }
  return most;
}

void AttentionPlanner::Plan(const kernels::MlaShape& shape, const kernels::AttentionSequence* host_sequences,
                            void* plan) const {
  plan_(shape, host_sequences, plan);
}

}  // namespace deeprack::worker
