#include "kernels/cuda/hopper/attention_scratch.h"

#include <algorithm>

namespace deeprack::kernels::hopper {

sm90::MlaPlanBounds PlanBoundsOf(const MlaShape& shape) {
  return sm90::BoundMlaPlan(shape.heads, shape.rows, shape.sequences, shape.max_context);
}

AttentionScratch CutAttention(const MlaShape& shape, int64_t columns, int multiprocessors, ScratchCut& cut) {
  const sm90::MlaPlanBounds bounds = PlanBoundsOf(shape);
  const int64_t queries = shape.cache_type == DType::kF8E4M3 ? shape.rows * shape.heads : 0;
  const int64_t blocks = multiprocessors > 0 ? multiprocessors : sm90::kMlaShares;
  return {.q_latent = cut.Take<fp8_e4m3>(queries * sm90::kLatent),
          .q_rope = cut.Take<bf16>(queries * sm90::kRope),
          .q_scales = cut.Take<float>(queries),
          .sums = cut.Take<float>(sm90::MlaPartialFloats(bounds.partials, columns)),
          .stats = cut.Take<float>(sm90::MlaStatFloats(bounds.partials, columns)),
          .walks = cut.Take<float>(sm90::MlaScratchFloats(blocks, columns))};
}

int64_t MlaPlanBytes(const MlaShape& shape) {
  if (sm90::WhyNotMla(shape.heads, shape.latent_dim, shape.rope_dim) != nullptr) return 0;
  return PlanPlaces(PlanBoundsOf(shape)).end;
}

int64_t ScratchOfAttention(const MlaShape& most, int multiprocessors) {
  if (sm90::WhyNotMla(most.heads, most.latent_dim, most.rope_dim) != nullptr) return 0;
  const int64_t columns = sm90::ChooseMlaTile(most.heads, most.rows).columns();
  int64_t bytes = 0;
  // The bound is not monotonic in the rows, so every number of rows up to the most is tried.
  for (int64_t rows = 1; rows <= most.rows; ++rows) {
    MlaShape shape = most;
    shape.rows = rows;
    shape.sequences = std::min(rows, most.sequences);
    ScratchCut cut;
    CutAttention(shape, columns, multiprocessors, cut);
    bytes = std::max(bytes, cut.used());
  }
  return bytes;
}

}  // namespace deeprack::kernels::hopper
