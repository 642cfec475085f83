// One chunk of queries over one fp8 cache, through every kernel that stands around it: the absorbed form and
// the expanded one are the same function.
#include "kernels/cuda/sm90/gemm.h"
#include "kernels/cuda/sm90/mla_prefill.h"
#include "kernels/cuda/sm90/mla_prepare.h"
#include "tests/unit/sm90/card.h"

namespace deeprack::kernels::sm90 {
namespace {

TEST(LatentFormsTest, AbsorbedAndExpandedAgree) {
  Random random(1);
  const int64_t heads = 8, context = 70, rows = 5, first = context - rows, padded = kPrefillTile;
  const float scale = 0.04f;
  const CardArray<bf16> kv(NormalBF16(context * (kLatent + kRope), random));
  // kv_b as in the checkpoint: of each head 128 rows for keys, then 128 for values. Absorbed: the former
  // transposed, by head, and the latter.
  const int64_t head_rows = kHeadKey + kHeadValue;
  const std::vector<bf16> kv_b = NormalBF16(heads * head_rows * kLatent, random, 0.05f);
  std::vector<bf16> key_up(heads * kLatent * kHeadKey), value_up(heads * kHeadValue * kLatent);
  for (int64_t h = 0; h < heads; ++h) {
    for (int64_t c = 0; c < kLatent; ++c) {
      for (int64_t d = 0; d < kHeadKey; ++d) {
        key_up[(h * kLatent + c) * kHeadKey + d] = kv_b[(h * head_rows + d) * kLatent + c];
        value_up[(h * kHeadValue + d) * kLatent + c] = kv_b[(h * head_rows + kHeadKey + d) * kLatent + c];
      }
    }
  }
  const CardArray<bf16> card_kv_b(kv_b), card_key_up(key_up), card_value_up(value_up);

  // The cache, in two pages of three; queries are turned in the same call.
  const std::vector<BlockId> table = {2, 0};
  std::vector<int32_t> positions;
  std::vector<int64_t> slots;
  for (int64_t t = 0; t < context; ++t) {
    positions.push_back(static_cast<int32_t>(t));
    slots.push_back(int64_t{table[t / kPageTokens]} * kPageTokens + t % kPageTokens);
  }
  const int64_t q_width = heads * kHeadQuery;
  const CardArray<bf16> q(NormalBF16(context * q_width, random));
  const CardArray<uint8_t> cache(3 * kFp8PageBytes);
  const CardArray<float> norm(UniformFloats(kLatent, random, 0.5f, 1.5f)),
      cos(UniformFloats(context * 32, random, -1.0f, 1.0f)),
      sin(UniformFloats(context * 32, random, -1.0f, 1.0f));
  const CardArray<int32_t> card_positions(positions);
  const CardArray<int64_t> card_slots(slots);
  MlaPrepare({.kv = {kv.data(), DType::kBF16, context, kLatent + kRope, kLatent + kRope},
              .latent_dim = kLatent,
              .norm_weight = norm.data(),
              .eps = 1e-6f,
              .q = {q.data(), DType::kBF16, context, q_width, q_width},
              .heads = heads,
              .q_head_stride = kHeadQuery,
              .q_rope_offset = kHeadKey,
              .positions = card_positions.data(),
              .cos = cos.data(),
              .sin = sin.data(),
              .slots = card_slots.data(),
              .cache = cache.data(),
              .cache_type = DType::kF8E4M3},
             {});
  const Matrix queries{q.data() + first * q_width, DType::kBF16, rows, q_width, q_width};

  // Absorbed.
  const auto by_heads = [&](const CardArray<bf16>& weight, int64_t n, int64_t k, const Matrix& x,
                            int64_t x_stride, const Matrix& out) {
    Gemm({.weight = {.data = weight.data(), .groups = heads, .n = n, .k = k},
          .x = {x.data, DType::kBF16, x.rows, x.stride},
          .grouping = Grouping::kHeads,
          .x_group_stride = x_stride,
          .out = out,
          .blocks = 3},
         {});
  };
  const int64_t latent_width = heads * kLatent, value_width = heads * kHeadValue;
  const CardArray<bf16> q_latent(rows * latent_width), attended(rows * latent_width),
      q_rope(rows * heads * kRope);
  const CardArray<float> absorbed(rows * value_width), expanded(rows * value_width), q_scales(rows * heads);
  const CardArray<fp8_e4m3> q_fp8(rows * latent_width);
  const Matrix latent_queries{q_latent.data(), DType::kBF16, rows, latent_width, latent_width};
  by_heads(card_key_up, kLatent, kHeadKey, queries, kHeadQuery, latent_queries);
  MlaQuantiseQueries({.q_latent = latent_queries,
                      .q_rope = queries,
                      .q_rope_head_stride = kHeadQuery,
                      .q_rope_offset = kHeadKey,
                      .heads = heads,
                      .latent = q_fp8.data(),
                      .rope = q_rope.data(),
                      .scales = q_scales.data()},
                     {});
  const CardArray<BlockId> card_table(table);
  const AttentionSequence sequence{0, static_cast<int32_t>(rows), static_cast<int32_t>(first),
                                   card_table.data()};
  const MlaPlan plan = PlanMla(heads, &sequence, 1);
  ASSERT_EQ(plan.partials, 0);
  const CardArray<MlaItem> items(plan.items);
  const CardArray<int32_t> counts(std::vector<int32_t>{static_cast<int32_t>(plan.items.size()), 0});
  const CardArray<float> scratch(MlaScratchFloats(1, plan.tile.columns()));
  const Matrix out{attended.data(), DType::kBF16, rows, latent_width, latent_width};
  Mla({.q_latent = {q_fp8.data(), DType::kF8E4M3, rows, latent_width, latent_width},
       .q_rope = {q_rope.data(), DType::kBF16, rows, heads * kRope, heads * kRope},
       .q_rope_head_stride = kRope,
       .heads = heads,
       .scale = scale,
       .cache = cache.data(),
       .cache_tokens = 3 * kPageTokens,
       .tile = plan.tile,
       .items = items.data(),
       .counts = counts.data(),
       .max_items = std::ssize(plan.items),
       .scratch = scratch.data(),
       .out = out,
       .blocks = 1,
       .q_scales = q_scales.data()},
      {});
  by_heads(card_value_up, kHeadValue, kLatent, out, kLatent,
           {absorbed.data(), DType::kF32, rows, value_width, value_width});

  // Expanded.
  const CardArray<bf16> latents(padded * kLatent), ropes(padded * kRope),
      keys_values(padded * heads * head_rows);
  const Matrix span{latents.data(), DType::kBF16, padded, kLatent, kLatent};
  const Matrix rope{ropes.data(), DType::kBF16, padded, kRope, kRope};
  MlaGather({.cache = cache.data(),
             .fp8 = true,
             .block_table = card_table.data(),
             .tokens = context,
             .latent = span,
             .rope = rope},
            {});
  const GemmConfig config = ChooseGemm(1, heads * head_rows, kLatent, padded);
  const CardArray<uint8_t> partials(PartialBytes(config, heads * head_rows, padded));
  const CardArray<int> arrivals(
      std::vector<int>(ArrivalBytes(config, heads * head_rows, padded) / sizeof(int)));
  const Matrix expansion{keys_values.data(), DType::kBF16, padded, heads * head_rows, heads * head_rows};
  Gemm({.weight = {.data = card_kv_b.data(), .n = heads * head_rows, .k = kLatent},
        .x = {span.data, DType::kBF16, padded, kLatent},
        .out = expansion,
        .partials = partials.data(),
        .arrivals = arrivals.data()},
       {});
  const MlaPrefillSequence chunk{0, static_cast<int32_t>(rows),   static_cast<int32_t>(first), 0,
                                 0, static_cast<int32_t>(context)};
  const CardArray<MlaPrefillItem> tiles(PlanMlaPrefill(&chunk, 1));
  MlaPrefill({.q = queries,
              .kv = expansion,
              .rope = rope,
              .heads = heads,
              .scale = scale,
              .items = tiles.data(),
              .num_items = std::ssize(tiles.Read()),
              .out = {expanded.data(), DType::kF32, rows, value_width, value_width}},
             {});
  CardWait();

  // Apart by what e4m3 queries and weights cost: in the mean a few per cent.
  const std::vector<float> a = absorbed.Read(), b = expanded.Read();
  double squares = 0, errors = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    squares += static_cast<double>(b[i]) * static_cast<double>(b[i]);
    errors += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
  }
  EXPECT_GT(squares, 0.0);
  EXPECT_LT(std::sqrt(errors / squares), 0.08);
}

}  // namespace
}  // namespace deeprack::kernels::sm90
