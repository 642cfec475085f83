// Latent attention with expanded keys and values. Sequences are taken one after the other and their contexts
// in spans. A span is gathered out of the pages, expanded by one product, and attended to.
#include <algorithm>
#include <cstddef>

#include "kernels/cuda/hopper/expanded_scratch.h"
#include "kernels/cuda/hopper/operations.h"
#include "kernels/cuda/plain/operations.h"
#include "kernels/cuda/sm90/gemm.h"
#include "kernels/cuda/sm90/mla_prefill.h"

namespace deeprack::kernels::hopper {
namespace {

using sm90::MlaPrefillItem;

// The distance of neighbouring heads' matrices in elements; 0: the matrices are not row-major at equal
// distances.
int64_t StrideOf(const PackedWeight* weights, int64_t heads) {
  const auto* const first = static_cast<const bf16*>(weights[0].data);
  const int64_t stride =
      heads > 1 ? static_cast<const bf16*>(weights[1].data) - first : weights[0].n * weights[0].k;
  for (int64_t head = 0; head < heads; ++head) {
    const PackedWeight& weight = weights[head];
    if (weight.layout != WeightLayout::kRows || weight.type != DType::kBF16 ||
        weight.data != first + head * stride)
      return 0;
  }
  return stride;
}

Matrix Dense(bf16* data, int64_t rows, int64_t cols) { return {data, DType::kBF16, rows, cols, cols}; }

// Gathers `tokens` positions of a sequence and expands them to keys and values.
void ExpandSpan(const ExpandedAttentionArgs& args, const BlockId* block_table, int64_t tokens,
                const ExpandedScratch& scratch, const Execution& execution) {
  const int64_t rows = RoundUp(tokens, sm90::kPrefillTile);
  const int64_t features = args.shape.heads * kHeadRows;
  sm90::MlaGather({.cache = args.cache,
                   .fp8 = args.cache_type == DType::kF8E4M3,
                   .block_table = block_table,
                   .tokens = tokens,
                   .latent = Dense(scratch.latent, rows, sm90::kLatent),
                   .rope = Dense(scratch.rope, rows, sm90::kRope)},
                  execution);
  sm90::Gemm({.weight = {.data = scratch.kv_b, .n = features, .k = sm90::kLatent},
              .x = {.data = scratch.latent, .rows = rows, .stride = sm90::kLatent},
              .rows_per_group = rows,
              .out = Dense(scratch.kv, rows, features),
              .partials = scratch.partials,
              .arrivals = static_cast<int*>(execution.scratch.counters),
              .blocks = execution.multiprocessors},
             execution);
}

}  // namespace

void PlanExpanded(const ExpandedShape&, const AttentionSequence* sequences, int64_t num_sequences,
                  void* plan) {
  auto* next = static_cast<MlaPrefillItem*>(plan);
  for (int64_t s = 0; s < num_sequences; ++s) {
    const AttentionSequence& sequence = sequences[s];
    const int32_t end = sequence.first_position + sequence.rows;
    for (int32_t begin = 0; begin < end; begin += kExpandedSpan) {
      const sm90::MlaPrefillSequence span = {.first_row = sequence.first_row,
                                             .rows = sequence.rows,
                                             .first_position = sequence.first_position,
                                             .kv_row = 0,
                                             .kv_begin = begin,
                                             .kv_tokens = std::min<int32_t>(kExpandedSpan, end - begin)};
      next = std::ranges::copy(sm90::PlanMlaPrefill(&span, 1), next).out;
    }
  }
}

void ExpandedAttention(const ExpandedAttentionArgs& args, const Execution& execution) {
  const ExpandedShape& shape = args.shape;
  const int64_t key_stride = StrideOf(args.key_weights, shape.heads);
  const int64_t value_stride = StrideOf(args.value_weights, shape.heads);
  if (!SuitsExpanded(shape) || args.plan == nullptr || key_stride == 0 || value_stride == 0 ||
      args.cache_type == DType::kF32 || args.q.stride % 8 != 0 || args.out.stride % 2 != 0) {
    return plain::ExpandedAttention(args, execution);
  }
  DR_CHECK(args.q.rows <= shape.rows);
  ScratchCut cut(execution.scratch);
  const ExpandedScratch scratch = CutExpanded(shape, ScratchOfExpansion(shape).data, cut);
  sm90::MlaKvB({.key = args.key_weights[0].data,
                .value = args.value_weights[0].data,
                .key_stride = key_stride,
                .value_stride = value_stride,
                .heads = shape.heads,
                .kv_b = scratch.kv_b},
               execution);
  const auto* items = static_cast<const MlaPrefillItem*>(args.plan);
  for (int64_t s = 0; s < args.num_sequences; ++s) {
    const AttentionSequence& sequence = args.host_sequences[s];
    const int64_t end = int64_t{sequence.first_position} + sequence.rows;
    for (int64_t begin = 0; begin < end; begin += kExpandedSpan) {
      const int64_t tokens = std::min(kExpandedSpan, end - begin);
      ExpandSpan(args, sequence.block_table + begin / kPageTokens, tokens, scratch, execution);
      const int64_t rows = RoundUp(tokens, sm90::kPrefillTile);
      sm90::MlaPrefill({.q = args.q,
                        .kv = Dense(scratch.kv, rows, shape.heads * kHeadRows),
                        .rope = Dense(scratch.rope, rows, sm90::kRope),
                        .heads = shape.heads,
                        .scale = args.scale,
                        .items = items,
                        .num_items = PrefillTilesOf(sequence.rows),
                        .first = begin == 0,
                        .last = begin + kExpandedSpan >= end,
                        .sums = scratch.sums,
                        .stats = scratch.stats,
                        .out = args.out},
                       execution);
      items += PrefillTilesOf(sequence.rows);
    }
  }
}

}  // namespace deeprack::kernels::hopper
