// Latent attention: its preparation, the bytes of its plan, and the operation.
#include <algorithm>
#include <cstddef>

#include "kernels/api/mla_prepare.h"
#include "kernels/cuda/hopper/attention_scratch.h"
#include "kernels/cuda/hopper/operations.h"
#include "kernels/cuda/plain/operations.h"
#include "kernels/cuda/sm90/mla.h"
#include "kernels/cuda/sm90/mla_prepare.h"

namespace deeprack::kernels::hopper {
namespace {

using sm90::MlaItem;
using sm90::MlaMerge;
using sm90::MlaPlanBounds;

bool IsBf16In(int64_t elements, const Matrix& m) {
  return m.type == DType::kBF16 && m.stride % elements == 0;
}

bool Serves(const MlaAttentionArgs& args) {
  return args.plan != nullptr && sm90::WhyNotMla(args.heads, args.latent_dim, args.rope_dim) == nullptr &&
         args.cache_type == args.shape.cache_type && args.cache_type != DType::kF32 &&
         IsBf16In(8, args.q_latent) && IsBf16In(8, args.q_rope) && args.q_rope_head_stride % 8 == 0 &&
         args.q_rope_offset % 8 == 0 && args.out.stride % 8 == 0;
}

bool Serves(const MlaPrepareArgs& args) {
  return args.latent_dim == sm90::kLatent && args.kv.cols == sm90::kLatent + sm90::kRope &&
         args.cache_type != DType::kF32 && IsBf16In(2, args.kv) && IsBf16In(2, args.q) &&
         args.q_head_stride % 2 == 0 && args.q_rope_offset % 2 == 0;
}

// Replaces the bf16 queries of `mla` by e4m3 queries.
void QuantiseQueries(const MlaAttentionArgs& args, const AttentionScratch& scratch, sm90::MlaArgs& mla,
                     const Execution& execution) {
  const int64_t rows = args.q_latent.rows, heads = args.heads;
  DR_CHECK(rows <= args.shape.rows);
  sm90::MlaQuantiseQueries({.q_latent = args.q_latent,
                            .q_rope = args.q_rope,
                            .q_rope_head_stride = args.q_rope_head_stride,
                            .q_rope_offset = args.q_rope_offset,
                            .heads = heads,
                            .latent = scratch.q_latent,
                            .rope = scratch.q_rope,
                            .scales = scratch.q_scales},
                           execution);
  const int64_t latent = heads * sm90::kLatent, rope = heads * sm90::kRope;
  mla.q_latent = {scratch.q_latent, DType::kF8E4M3, rows, latent, latent};
  mla.q_rope = {scratch.q_rope, DType::kBF16, rows, rope, rope};
  mla.q_rope_head_stride = sm90::kRope;
  mla.q_rope_offset = 0;
  mla.q_scales = scratch.q_scales;
}

}  // namespace

void MlaPrepare(const MlaPrepareArgs& args, const Execution& execution) {
  if (!Serves(args)) return PrepareMla(plain::Kernels(), args, execution);
  sm90::MlaPrepare(args, execution);
}

void PlanMla(const MlaShape& shape, const AttentionSequence* sequences, void* plan) {
  const MlaPlanBounds bounds = PlanBoundsOf(shape);
  const sm90::MlaPlan made = sm90::PlanMla(shape.heads, sequences, shape.sequences);
  DR_CHECK(std::ssize(made.items) <= bounds.items && std::ssize(made.merges) <= bounds.merges &&
           made.partials <= bounds.partials);
  auto* const bytes = static_cast<std::byte*>(plan);
  auto* const counts = reinterpret_cast<int32_t*>(bytes);
  counts[0] = static_cast<int32_t>(made.items.size());
  counts[1] = static_cast<int32_t>(made.merges.size());
  std::copy(made.items.begin(), made.items.end(), reinterpret_cast<MlaItem*>(bytes + PlanPlaces::kItems));
  std::copy(made.merges.begin(), made.merges.end(),
            reinterpret_cast<MlaMerge*>(bytes + PlanPlaces(bounds).merges));
}

void MlaAttention(const MlaAttentionArgs& args, const Execution& execution) {
  if (!Serves(args)) return plain::MlaAttention(args, execution);
  const MlaPlanBounds bounds = PlanBoundsOf(args.shape);
  const sm90::MlaTile tile = sm90::ChooseMlaTile(args.heads, args.shape.most_rows);
  const auto* const plan = static_cast<const std::byte*>(args.plan);
  ScratchCut cut(execution.scratch);
  const AttentionScratch scratch = CutAttention(args.shape, tile.columns(), execution.multiprocessors, cut);
  sm90::MlaArgs mla = {.q_latent = args.q_latent,
                       .q_rope = args.q_rope,
                       .q_rope_head_stride = args.q_rope_head_stride,
                       .q_rope_offset = args.q_rope_offset,
                       .heads = args.heads,
                       .scale = args.scale,
                       .cache = args.cache,
                       .cache_tokens = args.cache_tokens,
                       .tile = tile,
                       .items = reinterpret_cast<const MlaItem*>(plan + PlanPlaces::kItems),
                       .merges = reinterpret_cast<const MlaMerge*>(plan + PlanPlaces(bounds).merges),
                       .counts = reinterpret_cast<const int32_t*>(plan),
                       .max_items = bounds.items,
                       .max_merges = bounds.merges,
                       .partial_sums = scratch.sums,
                       .partial_stats = scratch.stats,
                       .scratch = scratch.walks,
                       .out = args.out,
                       .blocks = execution.multiprocessors};
  if (args.cache_type == DType::kF8E4M3) QuantiseQueries(args, scratch, mla, execution);
  sm90::Mla(mla, execution);
}

}  // namespace deeprack::kernels::hopper
