// The table of operations made of Hopper and plain kernels (kernels/cuda/hopper).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <tuple>
#include <vector>

#include "kernels/api/card_kernels.h"
#include "kernels/api/mla_prepare.h"
#include "kernels/cuda/choice/operation_names.h"
#include "kernels/cuda/hopper/operations.h"
#include "kernels/cuda/plain/operations.h"
#include "kernels/cuda/sm90/gemm_schedule.h"
#include "kernels/cuda/sm90/mla.h"
#include "kernels/cuda/sm90/mla_prefill.h"
#include "kernels/cuda/sm90/quantise.h"
#include "tests/unit/sm90/card.h"
#include "tests/unit/sm90/gemm_operands.h"

namespace deeprack::kernels::hopper {
namespace {

using sm90::CardArray;
using sm90::NormalBF16;

TEST(HopperSetTest, IsPlainButForWhatIsChosen) {
  const KernelSet none = CardKernels({});
  EXPECT_EQ(none.name, "cuda-plain");
  EXPECT_EQ(none.linear, plain::Linear);
  EXPECT_EQ(none.scratch_bytes, plain::ScratchOf);
  EXPECT_FALSE(none.row_major.Has(DType::kBF16) || none.row_major.Has(DType::kF8E4M3));

  const KernelSet fp8 = CardKernels({.used = {{"fp8", kOperationFp8Product, 9, 0}}});
  EXPECT_EQ(fp8.name, "cuda-sm90");
  EXPECT_TRUE(fp8.row_major.Has(DType::kF8E4M3));
  EXPECT_FALSE(fp8.row_major.Has(DType::kBF16));
  EXPECT_EQ(fp8.grouped_linear, GroupedLinear);
  EXPECT_EQ(fp8.mla_attention, plain::MlaAttention);
  EXPECT_EQ(fp8.plan_mla, nullptr);
  EXPECT_EQ(fp8.mla_prepare, nullptr);

  const KernelSet fp8_cache = CardKernels({.used = {{"attention", kOperationMlaFp8, 9, 0}}});
  EXPECT_TRUE(fp8_cache.planned_caches.Has(DType::kF8E4M3));
  EXPECT_FALSE(fp8_cache.planned_caches.Has(DType::kBF16));

  const KernelSet int4 = CardKernels({.used = {{kInt4ByBF16, kOperationInt4Product, 9, 0}}});
  EXPECT_EQ(int4.row_major.int4, WeightLayout::kTiles);
  EXPECT_EQ(int4.linear, Linear);

  const KernelSet all =
      CardKernels(ChooseUnverifiedToo({.name = "NVIDIA H200", .major = 9, .minor = 0}, SpecialKernels()));
  EXPECT_EQ(all.mla_attention, MlaAttention);
  EXPECT_TRUE(all.planned_caches.Has(DType::kBF16) && all.planned_caches.Has(DType::kF8E4M3));
  EXPECT_FALSE(all.planned_caches.Has(DType::kF32));
  EXPECT_EQ(all.mla_prepare, MlaPrepare);
  EXPECT_EQ(all.expanded_attention, ExpandedAttention);
  EXPECT_EQ(all.row_major.int4, WeightLayout::kTilesForE4M3);
  EXPECT_EQ(all.gate, Gate);
  EXPECT_EQ(all.group_by_expert, GroupByExpert);
  EXPECT_EQ(all.combine, Combine);
  EXPECT_EQ(all.add_rms_norm, AddRmsNorm);
  EXPECT_EQ(all.reads_rounded, ReadsRounded);
  EXPECT_EQ(all.dispatches_rounded, DispatchesRounded);
  EXPECT_EQ(all.plan_dispatch, PlanDispatch);
  EXPECT_EQ(fp8.reads_rounded, nullptr) << "no norm rounds rows";
  EXPECT_EQ(all.grouped_feed_forward, GroupedFeedForward);
  EXPECT_EQ(all.swiglu, plain::SwiGlu);
}

// Groups of a weight as the engine names them.
std::vector<PackedWeight> Packed(const sm90::Weight& weight, WeightLayout layout) {
  const bool int4 = weight.row.type == DType::kInt4G128;
  const int64_t bytes = int4 ? Int4Bytes(1, weight.n, weight.k)
                             : weight.n * weight.k * static_cast<int64_t>(SizeOf(weight.row.type));
  std::vector<PackedWeight> groups;
  for (int64_t g = 0; g < weight.row.groups; ++g) {
    const float* scales = weight.row.scales;
    groups.push_back(
        {.data = static_cast<const std::byte*>(weight.row.data) + g * bytes,
         .scales = scales == nullptr ? nullptr : scales + g * sm90::ScaleCount(1, weight.n, weight.k),
         .type = weight.row.type,
         .n = weight.n,
         .k = weight.k,
         .layout = layout});
  }
  return groups;
}

// Three experts, of which the second has no rows: bit for bit its products with SwiGluQuantise between them.
// bf16 weights have nothing quantised: bit for bit the three steps.
TEST(HopperSetTest, AFeedForwardIsItsLaunches) {
  constexpr int64_t kExperts = 3, kTokens = 6, kHidden = 256, kInner = 128, kRows = 8, kReal = 7;
  for (const auto& [type, layout] :
       std::vector<std::pair<DType, WeightLayout>>{{DType::kF8E4M3, WeightLayout::kRows},
                                                   {DType::kInt4G128, WeightLayout::kTilesForE4M3},
                                                   {DType::kBF16, WeightLayout::kRows}}) {
    const bool e4m3 = type != DType::kBF16;
    sm90::Random random(9);
    const sm90::Operands operands = {type, e4m3 ? DType::kF8E4M3 : DType::kBF16};
    const sm90::Weight up(operands, kExperts, 2 * kInner, kHidden, random),
        down(operands, kExperts, kHidden, kInner, random);
    const std::vector<PackedWeight> ups = Packed(up, layout), downs = Packed(down, layout);
    const CardArray<bf16> x(NormalBF16(kTokens * kHidden, random)), gate_up(kRows * 2 * kInner),
        activated(kRows * kInner);
    const CardArray<int32_t> index(std::vector<int32_t>{5, 0, 1, 3, 3, 2, 4, 0}),
        offsets(std::vector<int32_t>{0, 4, 4, kReal});
    const CardArray<float> fused(kRows * kHidden), expected(kRows * kHidden);
    const CardArray<std::byte> scratch(1 << 20), counters(std::vector<std::byte>(1 << 16));
    const Execution execution = {.multiprocessors = 2,
                                 .scratch = {.counters = counters.data(),
                                             .counter_bytes = 1 << 16,
                                             .data = scratch.data(),
                                             .data_bytes = 1 << 20}};
    const auto out = [&](const CardArray<float>& array) {
      return Matrix{array.data(), DType::kF32, kRows, kHidden, kHidden};
    };
    const Matrix inner = {activated.data(), DType::kBF16, kRows, kInner, kInner};
    GroupedFeedForwardArgs args = {
        .gate_up = {.x = {x.data(), DType::kBF16, kTokens, kHidden, kHidden},
                    .row_index = index.data(),
                    .offsets = offsets.data(),
                    .weights = ups.data(),
                    .experts = kExperts,
                    .out = {gate_up.data(), DType::kBF16, kRows, 2 * kInner, 2 * kInner}},
        .down = {.x = inner,
                 .offsets = offsets.data(),
                 .weights = downs.data(),
                 .experts = kExperts,
                 .out = out(fused)}};
    args.swiglu = {.gate_up = args.gate_up.out, .out = inner, .row_count = offsets.data() + kExperts};
    GroupedFeedForward(args, execution);

    if (e4m3) {
      const CardArray<fp8_e4m3> values(kRows * kInner);
      const CardArray<float> scales(kRows), sums(kRows);
      const sm90::QuantisedRows rows = {values.data(), kInner, scales.data(), kRows, sums.data()};
      sm90::SwiGluQuantise({.gate_up = args.gate_up.out, .row_count = args.swiglu.row_count, .out = rows},
                           execution);
      sm90::Gemm({.weight = down.row,
                  .x = {rows.data, DType::kF8E4M3, kRows, kInner, rows.scales, kRows, rows.sums},
                  .grouping = sm90::Grouping::kRanges,
                  .offsets = offsets.data(),
                  .rows_per_group = 3,
                  .out = out(expected)},
                 execution);
      sm90::CardWait();
      EXPECT_EQ(activated.Read()[0].bits, 0xffff) << "no step of its own";
    } else {
      GroupedLinear(args.gate_up, execution);
      plain::SwiGlu(args.swiglu, execution);
      args.down.out = out(expected);
      GroupedLinear(args.down, execution);
    }
    sm90::CardWait();
    const std::vector<float> actual = fused.Read(), right = expected.Read();
    EXPECT_EQ(std::vector(actual.begin(), actual.begin() + kReal * kHidden),
              std::vector(right.begin(), right.begin() + kReal * kHidden));
    EXPECT_TRUE(std::isnan(actual.back())) << "a row that does not exist";
  }
}

// Widths that the Hopper norm takes, columns of a wider matrix in place, and one that is left to the plain
// one.
TEST(HopperSetTest, NormsAreThePlainOnesButForTheOrderOfSums) {
  constexpr int64_t kRows = 3;
  for (const int64_t cols : {int64_t{512}, int64_t{7168}, int64_t{301}}) {
    const int64_t stride = cols + 64;
    sm90::Random random(cols);
    const CardArray<float> weight(sm90::UniformFloats(cols, random, 0.5f, 2.0f));
    const std::vector<bf16> x = NormalBF16(kRows * stride, random),
                            residual = NormalBF16(kRows * stride, random);
    const std::vector<float> added = sm90::UniformFloats(kRows * stride, random, -1.0f, 1.0f);
    const auto run = [&](auto* norm, auto* add_norm) {
      const CardArray<bf16> card_x(x), card_residual(residual), out(x.size());
      const CardArray<float> card_added(added);
      const auto rows = [&](const auto& array, DType type) {
        return Matrix{array.data(), type, kRows, cols, stride};
      };
      norm({.x = rows(card_x, DType::kBF16), .weight = weight.data(), .out = rows(card_x, DType::kBF16)}, {});
      add_norm({.x = rows(card_added, DType::kF32),
                .residual = rows(card_residual, DType::kBF16),
                .weight = weight.data(),
                .out = rows(out, DType::kBF16)},
               {});
      sm90::CardWait();
      return std::vector<std::vector<bf16>>{card_x.Read(), card_residual.Read(), out.Read()};
    };
    const auto hopper = run(RmsNorm, AddRmsNorm), expected = run(plain::RmsNorm, plain::AddRmsNorm);
    for (size_t i = 0; i < hopper.size(); ++i) {
      for (int64_t at = 0; at < kRows * stride; ++at) {
        const bf16 actual = hopper[i][static_cast<size_t>(at)], right = expected[i][static_cast<size_t>(at)];
        if (at % stride >= cols || i == 1) {
          ASSERT_EQ(actual.bits, right.bits) << "what is no output, or the residual";
        } else {
          ASSERT_NEAR(ToFloat(actual), ToFloat(right), std::abs(ToFloat(right)) / 127) << "a last bit";
        }
      }
    }
  }
}

// Rows that a norm rounded on its way: a product reads those and no others, and as the norm made them before
// they became bf16. 8320 columns are left to the plain norm.
TEST(HopperSetTest, ProductsReadWhatTheNormRounded) {
  constexpr int64_t kRows = 3, kOut = 48;
  for (const auto& [cols, type, layout] : std::vector<std::tuple<int64_t, DType, WeightLayout>>{
           {256, DType::kF8E4M3, WeightLayout::kRows},
           {304, DType::kF8E4M3, WeightLayout::kRows},
           {8320, DType::kF8E4M3, WeightLayout::kRows},
           {384, DType::kInt4G128, WeightLayout::kTilesForE4M3}}) {
    sm90::Random random(cols);
    const bool int4 = type == DType::kInt4G128;
    const int64_t n = int4 ? 128 : kOut;
    const sm90::Weight weight({type, DType::kF8E4M3}, 1, n, cols, random);
    const PackedWeight packed = Packed(weight, layout)[0];
    ASSERT_TRUE(ReadsRounded(packed));
    const CardArray<float> norm_weight(sm90::UniformFloats(cols, random, 0.5f, 2.0f)),
        added(sm90::UniformFloats(kRows * cols, random, -1.0f, 1.0f));
    const CardArray<bf16> residual(NormalBF16(kRows * cols, random)), normed(kRows * cols);
    const CardArray<std::byte> rounded(static_cast<size_t>(RoundedRowsLayoutOf(kRows, cols).bytes)),
        scratch(1 << 20), counters(std::vector<std::byte>(1 << 16));
    const Execution execution = {.multiprocessors = 2,
                                 .scratch = {.counters = counters.data(),
                                             .counter_bytes = 1 << 16,
                                             .data = scratch.data(),
                                             .data_bytes = 1 << 20}};
    const auto rows = [&](const auto& array, DType of, int64_t width) {
      return Matrix{array.data(), of, kRows, width, width};
    };
    AddRmsNorm({.x = rows(added, DType::kF32, cols),
                .residual = rows(residual, DType::kBF16, cols),
                .weight = norm_weight.data(),
                .out = rows(normed, DType::kBF16, cols),
                .rounded = rounded.data()},
               execution);
    const CardArray<bf16> elsewhere(kRows * cols);  // NaN
    const CardArray<float> shared(kRows * n), alone(kRows * n);
    Linear({.x = rows(elsewhere, DType::kBF16, cols),
            .weight = packed,
            .out = rows(shared, DType::kF32, n),
            .rounded = rounded.data()},
           execution);
    Linear({.x = rows(normed, DType::kBF16, cols), .weight = packed, .out = rows(alone, DType::kF32, n)},
           execution);
    sm90::CardWait();
    // The same values, but for what rounding them to bf16 first changes.
    const std::vector<float> actual = shared.Read(), right = alone.Read();
    double error = 0, size = 0;
    for (size_t i = 0; i < actual.size(); ++i) {
      error += std::pow(static_cast<double>(actual[i]) - static_cast<double>(right[i]), 2);
      size += std::pow(static_cast<double>(right[i]), 2);
    }
    EXPECT_LT(std::sqrt(error / size), 0.02) << cols;  // NaN is not
    EXPECT_EQ(cols > sm90::kMaxNormWidth, actual == right) << "the plain norm's rows are bf16 already";
  }
  EXPECT_FALSE(ReadsRounded({.type = DType::kF8E4M3, .n = 16, .k = 256, .layout = WeightLayout::kPanels}));
  EXPECT_FALSE(ReadsRounded({.type = DType::kBF16, .n = 16, .k = 256, .layout = WeightLayout::kRows}));
}

// R1's products, and one that a sum's parts fill the card with.
TEST(HopperSetTest, ScratchOfAProductIsEnoughForFewerRows) {
  for (const auto& [n, k] : std::vector<std::pair<int64_t, int64_t>>{{1536, 7168},
                                                                     {576, 7168},
                                                                     {24576, 1536},
                                                                     {7168, 16384},
                                                                     {7168, 2048},
                                                                     {129280, 7168},
                                                                     {16, 7168}}) {
    for (const auto& [type, layout] :
         std::vector<std::pair<DType, WeightLayout>>{{DType::kBF16, WeightLayout::kRows},
                                                     {DType::kF8E4M3, WeightLayout::kRows},
                                                     {DType::kInt4G128, WeightLayout::kTilesForE4M3}}) {
      const ScratchBytes bytes =
          ScratchOfProduct({.type = type, .layout = layout, .n = n, .k = k, .rows = 600});
      const int64_t floats = type == DType::kInt4G128 ? 2 : 1;  // scales and sums
      for (int64_t rows = 1; rows <= 600; ++rows) {
        const sm90::GemmConfig config = sm90::ChooseGemm(1, n, k, rows);
        const int64_t quantised = type == DType::kBF16 ? 0 : rows * k + k / 128 * rows * 4 * floats;
        ASSERT_GE(bytes.data, sm90::PartialBytes(config, n, rows) + quantised) << n << " x " << k;
        ASSERT_GE(bytes.counters, sm90::ArrivalBytes(config, n, rows)) << n << " x " << k;
      }
    }
  }
  EXPECT_EQ(ScratchOfProduct({.layout = WeightLayout::kPanels, .n = 1536, .k = 7168, .rows = 600}).data, 0);
}

// A context of two parts, whose results are merged, beside a short one: the plan's bytes hold both lists.
TEST(HopperSetTest, PlannedAttentionIsThePlainOne) {
  constexpr int64_t kHeads = 16, kPages = 12, kWidth = sm90::kLatent + sm90::kRope, kRows = 3;
  constexpr int kMultiprocessors = 2;
  sm90::Random random(5);
  const std::vector<bf16> entries = NormalBF16(kPages * kPageTokens * kWidth, random);
  const CardArray<bf16> cache(entries);
  const CardArray<uint8_t> fp8_cache(kPages * sm90::kFp8PageBytes);
  std::vector<int64_t> all_slots(kPages * kPageTokens);
  std::iota(all_slots.begin(), all_slots.end(), 0);
  const CardArray<int64_t> slots(all_slots);
  plain::KvWrite(
      {.latent = {cache.data(), DType::kBF16, kPages * kPageTokens, sm90::kLatent, kWidth},
       .rope_key = {cache.data() + sm90::kLatent, DType::kBF16, kPages * kPageTokens, sm90::kRope, kWidth},
       .slots = slots.data(),
       .cache = fp8_cache.data(),
       .cache_type = DType::kF8E4M3},
      {});
  const CardArray<bf16> latent(NormalBF16(kRows * kHeads * sm90::kLatent, random, 0.3f));
  const CardArray<bf16> rope(NormalBF16(kRows * kHeads * sm90::kRope, random, 0.3f));
  const CardArray<BlockId> tables(std::vector<BlockId>{3, 1, 4, 0, 5, 9, 2, 6, 8, 7, 10, 11});
  const std::vector<AttentionSequence> sequences = {
      {.first_row = 0, .rows = 1, .first_position = 690, .block_table = tables.data()},
      {.first_row = 1, .rows = 2, .first_position = 20, .block_table = tables.data() + 11}};
  const CardArray<AttentionSequence> card_sequences(sequences);
  for (const DType cache_type : {DType::kBF16, DType::kF8E4M3}) {
    const bool is_fp8 = cache_type == DType::kF8E4M3;
    const MlaShape shape = {.heads = kHeads,
                            .latent_dim = sm90::kLatent,
                            .rope_dim = sm90::kRope,
                            .rows = kRows,
                            .sequences = 2,
                            .most_rows = 2,
                            .max_context = 1024,
                            .cache_type = cache_type};
    std::vector<std::byte> plan(static_cast<size_t>(MlaPlanBytes(shape)));
    PlanMla(shape, sequences.data(), plan.data());
    const CardArray<std::byte> card_plan(plan);
    const CardArray<std::byte> scratch(static_cast<size_t>(ScratchOfAttention(shape, kMultiprocessors)));
    const int64_t width = kHeads * sm90::kLatent;
    const auto run = [&](auto* attention) {
      const CardArray<float> out(static_cast<size_t>(kRows * width));
      attention({.q_latent = {latent.data(), DType::kBF16, kRows, width, width},
                 .q_rope = {rope.data(), DType::kBF16, kRows, kHeads * sm90::kRope, kHeads * sm90::kRope},
                 .q_rope_head_stride = sm90::kRope,
                 .heads = kHeads,
                 .latent_dim = sm90::kLatent,
                 .rope_dim = sm90::kRope,
                 .scale = 0.07f,
                 .cache = is_fp8 ? static_cast<const void*>(fp8_cache.data()) : cache.data(),
                 .cache_type = cache_type,
                 .sequences = card_sequences.data(),
                 .num_sequences = 2,
                 .out = {out.data(), DType::kF32, kRows, width, width},
                 .plan = card_plan.data(),
                 .shape = shape,
                 .cache_tokens = kPages * kPageTokens},
                {.multiprocessors = kMultiprocessors,
                 .scratch = {.data = scratch.data(), .data_bytes = static_cast<int64_t>(scratch.size())}});
      sm90::CardWait();
      return out.Read();
    };
    const std::vector<float> actual = run(MlaAttention), expected = run(plain::MlaAttention);
    EXPECT_NE(actual, expected);
    for (int64_t row = 0; row < kRows; ++row) {
      const std::vector<double> of_row(expected.begin() + row * width, expected.begin() + (row + 1) * width);
      sm90::ExpectRow(actual.data() + row * width, of_row, is_fp8 ? 0.25 : 8e-3);
    }
    MlaShape other = shape;
    other.heads = 12;
    EXPECT_EQ(MlaPlanBytes(other), 0);  // falls to the plain one
  }
}

// Entries and queries by one kernel and by four; and where the one does not serve, by the four.
TEST(HopperSetTest, PreparationIsThePlainOperations) {
  constexpr int64_t kRows = 5, kHeads = 3, kStride = 24 + sm90::kRope, kPages = 2, kPositions = 40;
  sm90::Random random(6);
  const CardArray<float> norm(sm90::UniformFloats(sm90::kLatent, random, 0.5f, 2.0f)),
      cos(sm90::UniformFloats(kPositions * sm90::kRope / 2, random, -1.0f, 1.0f)),
      sin(sm90::UniformFloats(kPositions * sm90::kRope / 2, random, -1.0f, 1.0f));
  const CardArray<int32_t> positions(std::vector<int32_t>{39, 0, 7, 8, 9});
  const CardArray<int64_t> slots(std::vector<int64_t>{70, 3, -1, 127, 0});
  for (const int64_t latent_dim : {int64_t{sm90::kLatent}, int64_t{448}}) {
    const int64_t width = latent_dim + sm90::kRope;
    const std::vector<bf16> kv = NormalBF16(kRows * width, random),
                            q = NormalBF16(kRows * kHeads * kStride, random);
    for (const DType cache_type : {DType::kBF16, DType::kF8E4M3, DType::kF32}) {
      const auto run = [&](const KernelSet& kernels) {
        const CardArray<bf16> card_kv(kv), card_q(q);
        const CardArray<uint8_t> cache(
            std::vector<uint8_t>(kPages * kPageTokens * width * sizeof(float), 0xff));
        PrepareMla(kernels,
                   {.kv = {card_kv.data(), DType::kBF16, kRows, width, width},
                    .latent_dim = latent_dim,
                    .norm_weight = norm.data(),
                    .eps = 1e-6f,
                    .q = {card_q.data(), DType::kBF16, kRows, kHeads * kStride, kHeads * kStride},
                    .heads = kHeads,
                    .q_head_stride = kStride,
                    .q_rope_offset = 24,
                    .positions = positions.data(),
                    .cos = cos.data(),
                    .sin = sin.data(),
                    .slots = slots.data(),
                    .cache = cache.data(),
                    .cache_type = cache_type},
                   {});
        sm90::CardWait();
        std::vector<uint8_t> bytes = cache.Read();
        for (const bf16 value : card_q.Read()) {
          bytes.push_back(static_cast<uint8_t>(value.bits));
          bytes.push_back(static_cast<uint8_t>(value.bits >> 8));
        }
        return bytes;
      };
      KernelSet hopper = CardKernels({.used = {{"preparation", kOperationMlaPrepare, 9, 0}}});
      const std::vector<uint8_t> actual = run(hopper), expected = run(plain::Kernels());
      const bool served = latent_dim == sm90::kLatent && cache_type != DType::kF32;
      int64_t different = 0;
      for (size_t i = 0; i < expected.size(); ++i) different += actual[i] != expected[i];
      // The norm's sum is made in another order: a last bit now and then.
      EXPECT_LE(different, served ? 20 : 0) << latent_dim << " " << Name(cache_type);
      EXPECT_LT(std::count(expected.begin(), expected.end(), 0xff),
                std::ssize(expected) - kRows * kHeads * kStride);
    }
  }
}

// A context of two spans beside a short prompt, weights and cache as a model has them.
TEST(HopperSetTest, ExpandedAttentionIsThePlainOne) {
  constexpr int64_t kHeads = 2, kPages = 35, kWidth = sm90::kLatent + sm90::kRope, kRows = 10,
                    kMatrix = 512 * 128;
  sm90::Random random(7);
  const CardArray<bf16> cache(NormalBF16(kPages * kPageTokens * kWidth, random, 0.3f));
  const CardArray<bf16> q(NormalBF16(kRows * kHeads * sm90::kHeadQuery, random));
  const CardArray<bf16> keys(NormalBF16(kHeads * kMatrix, random, 0.1f)),
      values(NormalBF16(kHeads * kMatrix, random, 0.1f));
  std::vector<PackedWeight> key_weights, value_weights;
  for (int64_t head = 0; head < kHeads; ++head) {
    key_weights.push_back({.data = keys.data() + head * kMatrix,
                           .type = DType::kBF16,
                           .n = 512,
                           .k = 128,
                           .layout = WeightLayout::kRows});
    value_weights.push_back({.data = values.data() + head * kMatrix,
                             .type = DType::kBF16,
                             .n = 128,
                             .k = 512,
                             .layout = WeightLayout::kRows});
  }
  const CardArray<PackedWeight> card_keys(key_weights), card_values(value_weights);
  std::vector<BlockId> table;
  for (BlockId page = 0; page < kPages; ++page) table.push_back(kPages - 1 - page);
  const CardArray<BlockId> card_table(table);
  const std::vector<AttentionSequence> sequences = {
      {.first_row = 0, .rows = 4, .first_position = 2046, .block_table = card_table.data()},
      {.first_row = 4, .rows = 6, .first_position = 0, .block_table = card_table.data() + 33}};
  const CardArray<AttentionSequence> card_sequences(sequences);
  ExpandedShape shape = {
      .heads = kHeads, .nope_dim = 128, .rope_dim = 64, .value_dim = 128, .latent_dim = 512, .rows = 16};
  std::vector<std::byte> plan(static_cast<size_t>(ExpandedPlanBytes(shape, 2, 2304)));
  PlanExpanded(shape, sequences.data(), 2, plan.data());
  const CardArray<std::byte> card_plan(plan);
  const ScratchBytes bytes = CardKernels({.used = {{"expanded", kOperationExpandedAttention, 9, 0}}})
                                 .scratch_bytes({.expanded = shape});
  const CardArray<std::byte> scratch(static_cast<size_t>(bytes.data));
  const CardArray<int> counters(std::vector<int>(static_cast<size_t>(bytes.counters) / sizeof(int)));
  const int64_t query_width = kHeads * sm90::kHeadQuery, width = kHeads * sm90::kHeadValue;
  const auto run = [&](auto* attention) {
    const CardArray<float> out(static_cast<size_t>(kRows * width));
    attention({.q = {q.data(), DType::kBF16, kRows, query_width, query_width},
               .shape = shape,
               .scale = 0.05f,
               .key_weights = key_weights.data(),
               .value_weights = value_weights.data(),
               .device_key_weights = card_keys.data(),
               .device_value_weights = card_values.data(),
               .cache = cache.data(),
               .sequences = card_sequences.data(),
               .host_sequences = sequences.data(),
               .num_sequences = 2,
               .out = {out.data(), DType::kF32, kRows, width, width},
               .plan = card_plan.data()},
              {.multiprocessors = 2,
               .scratch = {.counters = counters.data(),
                           .counter_bytes = bytes.counters,
                           .data = scratch.data(),
                           .data_bytes = bytes.data}});
    sm90::CardWait();
    return out.Read();
  };
  const std::vector<float> actual = run(ExpandedAttention), expected = run(plain::ExpandedAttention);
  EXPECT_NE(actual, expected);
  for (int64_t row = 0; row < kRows; ++row) {
    const std::vector<double> of_row(expected.begin() + row * width, expected.begin() + (row + 1) * width);
    sm90::ExpectRow(actual.data() + row * width, of_row, 1e-2);
  }
  shape.nope_dim = 64;
  EXPECT_EQ(ExpandedPlanBytes(shape, 2, 2304), 0);  // falls to the plain one
}

}  // namespace
}  // namespace deeprack::kernels::hopper
