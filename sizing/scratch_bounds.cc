#include "sizing/scratch_bounds.h"

#include <algorithm>

#include "sizing/step_buffers.h"

namespace deeprack::sizing {

kernels::StepBounds ScratchBoundsOf(const RankSpec& spec, const WeightManifest& manifest,
                                    const AttentionSizes& attention, int multiprocessors) {
  const int64_t tokens = spec.limits.max_step_tokens;
  // A draft's row is a sequence of attention.
  const int64_t sequences =
      std::min<int64_t>(tokens, spec.limits.max_sequences * (1 + spec.speculative_tokens));
  const int64_t experts = spec.config.n_routed_experts / spec.layout.ep;
  kernels::StepBounds bounds = {.attention = attention.ShapeOf(tokens, sequences, 1),
                                .expanded = attention.expanded(),
                                .multiprocessors = multiprocessors};
  for (const PackedTensor& tensor : manifest.tensors) {
    if (tensor.form == WeightForm::kVector || tensor.form == WeightForm::kTable) continue;
    kernels::ProductBound product = {.type = tensor.type,
                                     .layout = tensor.layout,
                                     .groups = tensor.count,
                                     .n = tensor.rows,
                                     .k = tensor.cols,
                                     .rows = tokens};
    if (tensor.kind == model::TensorKind::kLmHead) {
      product.rows = LogitRows(spec);
    } else if (tensor.kind == model::TensorKind::kExpertGate ||
               tensor.kind == model::TensorKind::kExpertDown) {
      product.groups = experts;
      product.rows = tokens * std::min<int64_t>(spec.config.num_experts_per_tok, experts);
    }
    // Layers repeat the same products: each product is listed once.
    if (std::find(bounds.products.begin(), bounds.products.end(), product) == bounds.products.end()) {
      bounds.products.push_back(product);
    }
  }
  return bounds;
}

}  // namespace deeprack::sizing
