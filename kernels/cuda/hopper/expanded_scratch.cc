#include "kernels/cuda/hopper/expanded_scratch.h"

namespace deeprack::kernels::hopper {

bool SuitsExpanded(const ExpandedShape& shape) {
  return shape.type == DType::kBF16 && shape.nope_dim == sm90::kHeadKey && shape.rope_dim == sm90::kRope &&
         shape.value_dim == sm90::kHeadValue && shape.latent_dim == sm90::kLatent;
}

ExpandedScratch CutExpanded(const ExpandedShape& shape, int64_t partial_bytes, ScratchCut& cut) {
  return {.kv_b = cut.Take<bf16>(shape.heads * kHeadRows * sm90::kLatent),
          .latent = cut.Take<bf16>(kExpandedSpan * sm90::kLatent),
          .rope = cut.Take<bf16>(kExpandedSpan * sm90::kRope),
          .kv = cut.Take<bf16>(kExpandedSpan * shape.heads * kHeadRows),
          .sums = cut.Take<float>(shape.rows * shape.heads * sm90::kHeadValue),
          .stats = cut.Take<float>(shape.rows * shape.heads * 2),
          .partials = cut.Take<std::byte>(partial_bytes)};
}

ScratchBytes ScratchOfExpansion(const ExpandedShape& shape) {
  return ScratchOfProduct({.type = DType::kBF16,
                           .layout = WeightLayout::kRows,
                           .n = shape.heads * kHeadRows,
                           .k = sm90::kLatent,
                           .rows = kExpandedSpan});
}

// A plan has, for each sequence and each of its spans in order, the tiles of the sequence's rows.
int64_t ExpandedPlanBytes(const ExpandedShape& shape, int64_t sequences, int64_t max_context) {
  if (!SuitsExpanded(shape)) return 0;
  const int64_t items = CeilDiv(max_context, kExpandedSpan) * (PrefillTilesOf(shape.rows) + sequences);
  return items * static_cast<int64_t>(sizeof(sm90::MlaPrefillItem));
}

ScratchBytes ScratchOfExpanded(const ExpandedShape& shape) {
  if (shape.heads == 0 || !SuitsExpanded(shape)) return {};
  const ScratchBytes product = ScratchOfExpansion(shape);
  ScratchCut cut;
  CutExpanded(shape, product.data, cut);
  return {.counters = product.counters, .data = cut.used()};
}

}  // namespace deeprack::kernels::hopper
