// Latent attention with expanded keys and values: the context of one sequence after the other in spans, each
// gathered out of the pages, expanded by one product, and attended to.
#include <algorithm>
#include <cstddef>

#include "kernels/cuda/hopper/operations.h"
#include "kernels/cuda/hopper/scratch_cut.h"
#include "kernels/cuda/plain/operations.h"
#include "kernels/cuda/sm90/gemm.h"
#include "kernels/cuda/sm90/mla_prefill.h"

namespace deeprack::kernels::hopper {
namespace {

using sm90::MlaPrefillItem;

constexpr int64_t kSpan = 2048;  // positions, whole tiles
constexpr int64_t kHeadRows = sm90::kHeadKey + sm90::kHeadValue;
static_assert(kSpan % sm90::kPrefillTile == 0);

bool Suits(const ExpandedShape& shape) {
  return shape.type == DType::kBF16 && shape.nope_dim == sm90::kHeadKey && shape.rope_dim == sm90::kRope &&
         shape.value_dim == sm90::kHeadValue && shape.latent_dim == sm90::kLatent;
}

int64_t TilesOf(int64_t rows) { return CeilDiv(rows, sm90::kPrefillTile); }

// The elements from one head's matrix to the next one's; 0: they are not row-major at equal distances.
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

struct ExpandedScratch {
  bf16 *kv_b, *latent, *rope, *kv;
  float *sums, *stats;
  std::byte* partials;
};

// Of spans of so many rows, of which the product has partial sums of so many bytes.
ExpandedScratch Cut(const ExpandedShape& shape, int64_t partial_bytes, ScratchCut& cut) {
  return {.kv_b = cut.Take<bf16>(shape.heads * kHeadRows * sm90::kLatent),
          .latent = cut.Take<bf16>(kSpan * sm90::kLatent),
          .rope = cut.Take<bf16>(kSpan * sm90::kRope),
          .kv = cut.Take<bf16>(kSpan * shape.heads * kHeadRows),
          .sums = cut.Take<float>(shape.rows * shape.heads * sm90::kHeadValue),
          .stats = cut.Take<float>(shape.rows * shape.heads * 2),
          .partials = cut.Take<std::byte>(partial_bytes)};
}

// The most for spans of any length.
ScratchBytes ScratchOfExpansion(const ExpandedShape& shape) {
  return ScratchOfProduct({.type = DType::kBF16,
                           .layout = WeightLayout::kRows,
                           .n = shape.heads * kHeadRows,
                           .k = sm90::kLatent,
                           .rows = kSpan});
}

Matrix Dense(bf16* data, int64_t rows, int64_t cols) { return {data, DType::kBF16, rows, cols, cols}; }

// Positions [begin, begin + tokens) of a sequence as keys and values.
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

// For each sequence and each of its spans the tiles of its rows, in that order.
int64_t ExpandedPlanBytes(const ExpandedShape& shape, int64_t sequences, int64_t max_context) {
  if (!Suits(shape)) return 0;
  const int64_t items = CeilDiv(max_context, kSpan) * (TilesOf(shape.rows) + sequences);
  return items * static_cast<int64_t>(sizeof(MlaPrefillItem));
}

void PlanExpanded(const ExpandedShape&, const AttentionSequence* sequences, int64_t num_sequences,
                  void* plan) {
  auto* next = static_cast<MlaPrefillItem*>(plan);
  for (int64_t s = 0; s < num_sequences; ++s) {
    const AttentionSequence& sequence = sequences[s];
    const int32_t end = sequence.first_position + sequence.rows;
    for (int32_t begin = 0; begin < end; begin += kSpan) {
      const sm90::MlaPrefillSequence span = {.first_row = sequence.first_row,
                                             .rows = sequence.rows,
                                             .first_position = sequence.first_position,
                                             .kv_row = 0,
                                             .kv_begin = begin,
                                             .kv_tokens = std::min<int32_t>(kSpan, end - begin)};
      next = std::ranges::copy(sm90::PlanMlaPrefill(&span, 1), next).out;
    }
  }
}

void ExpandedAttention(const ExpandedAttentionArgs& args, const Execution& execution) {
  const ExpandedShape& shape = args.shape;
  const int64_t key_stride = StrideOf(args.key_weights, shape.heads);
  const int64_t value_stride = StrideOf(args.value_weights, shape.heads);
  if (!Suits(shape) || args.plan == nullptr || key_stride == 0 || value_stride == 0 ||
      args.cache_type == DType::kF32 || args.q.stride % 8 != 0 || args.out.stride % 2 != 0) {
    return plain::ExpandedAttention(args, execution);
  }
  DR_CHECK(args.q.rows <= shape.rows);
  ScratchCut cut(execution.scratch);
  const ExpandedScratch scratch = Cut(shape, ScratchOfExpansion(shape).data, cut);
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
    for (int64_t begin = 0; begin < end; begin += kSpan) {
      const int64_t tokens = std::min(kSpan, end - begin);
      ExpandSpan(args, sequence.block_table + begin / kPageTokens, tokens, scratch, execution);
      const int64_t rows = RoundUp(tokens, sm90::kPrefillTile);
      sm90::MlaPrefill({.q = args.q,
                        .kv = Dense(scratch.kv, rows, shape.heads * kHeadRows),
                        .rope = Dense(scratch.rope, rows, sm90::kRope),
                        .heads = shape.heads,
                        .scale = args.scale,
                        .items = items,
                        .num_items = TilesOf(sequence.rows),
                        .first = begin == 0,
                        .last = begin + kSpan >= end,
                        .sums = scratch.sums,
                        .stats = scratch.stats,
                        .out = args.out},
                       execution);
      items += TilesOf(sequence.rows);
    }
  }
}

ScratchBytes ScratchOfExpanded(const ExpandedShape& shape) {
  if (shape.heads == 0 || !Suits(shape)) return {};
  const ScratchBytes product = ScratchOfExpansion(shape);
  ScratchCut cut;
  Cut(shape, product.data, cut);
  return {.counters = product.counters, .data = cut.used()};
}

}  // namespace deeprack::kernels::hopper
