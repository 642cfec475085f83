// Times the Hopper kernels at R1's sizes. Prints a line for each kernel, then the number of kernels that gave
// the same bits twice. Weights rotate through more memory than the cache holds.
#include <cuda_runtime.h>

#include <cstdio>
#include <random>

#include "base/checked.h"
#include "bench/gpu/graph_timer.h"
#include "bench/gpu/sm90_buffers.h"
#include "kernels/cuda/sm90/dispatch.h"
#include "kernels/cuda/sm90/mla_prefill.h"
#include "kernels/cuda/sm90/mla_prepare.h"
#include "kernels/cuda/sm90/route.h"

namespace deeprack::bench {
namespace {

using namespace kernels;
using namespace kernels::sm90;

constexpr int64_t kHidden = 7168, kExpertWidth = 2048;
constexpr int64_t kRotation = int64_t{512} << 20;  // bytes of weights to go through

struct Bench {
  CardLimits limits;
  int passed = 0, failed = 0;
  void Time(const GraphCase& kernel) { ++(TimeInGraph(kernel, limits) ? passed : failed); }
};

double BytesOf(const Matrix& m) {
  return static_cast<double>(m.rows * m.cols * static_cast<int64_t>(SizeOf(m.type)));
}

const char* WithFp8(DType weight, bool fp8) { return fp8 && weight == DType::kInt4G128 ? " by fp8" : ""; }

const char* NameOf(DType type) {
  return type == DType::kF8E4M3 ? "fp8" : type == DType::kBF16 ? "bf16" : "int4";
}

// The same product over several copies of its weight.
std::vector<GemmArgs> Copies(Sm90Buffers& buffers, const GemmArgs& args) {
  std::vector<GemmArgs> copies = {args};
  for (double bytes = WeightBytes(args.weight);
       bytes * static_cast<double>(copies.size()) < static_cast<double>(kRotation);) {
    copies.push_back(args);
    const RowWeight& weight = args.weight;
    copies.back().weight = buffers.Weight(weight.type, weight.groups, weight.n, weight.k, weight.int4_layout);
  }
  return copies;
}

// The layout of int4 weights for fp8 activations, or for bf16.
WeightLayout Int4LayoutFor(bool fp8) { return fp8 ? WeightLayout::kTilesForE4M3 : WeightLayout::kTiles; }

void Dense(Bench& bench, DType type, bool fp8, int64_t n, int64_t k, int64_t m) {
  Sm90Buffers buffers;
  GemmArgs args{.weight = buffers.Weight(type, 1, n, k, Int4LayoutFor(fp8)),
                .x = fp8 ? Sm90Buffers::AsInput(buffers.Quantised(m, k), m)
                         : Sm90Buffers::AsInput(buffers.Activations(m, k)),
                .out = buffers.Activations(m, n)};
  buffers.GiveWorkspace(args);
  const std::vector<GemmArgs> copies = Copies(buffers, args);
  const GemmConfig config = ChooseGemm(1, n, k, m);
  char name[96];
  std::snprintf(name, sizeof(name), "%s%s %ldx%ld, %ld rows (tile %d, K in %d)", NameOf(type),
                WithFp8(type, fp8), n, k, m, config.tokens, config.splits);
  bench.Time(
      {.name = name,
       .bytes = WeightBytes(args.weight) + static_cast<double>(m * k * (fp8 ? 1 : 2)) + BytesOf(args.out),
       .flops = 2.0 * static_cast<double>(m * n * k),
       .fp8 = fp8,
       .run = [&](int64_t i, const Execution& e) { Gemm(copies[static_cast<size_t>(i) % copies.size()], e); },
       .out = args.out.data,
       .out_bytes = static_cast<int64_t>(BytesOf(args.out))});
}

// Gate and up of experts with `rows_each` rows each; with fp8 activations also SwiGLU and the quantisation of
// its result.
void Experts(Bench& bench, DType type, bool fp8, int64_t experts, int64_t rows_each) {
  Sm90Buffers buffers;
  const int64_t rows = experts * rows_each, n = 2 * kExpertWidth, k = kHidden;
  std::vector<int32_t> offsets;
  for (int64_t e = 0; e <= experts; ++e) offsets.push_back(static_cast<int32_t>(e * rows_each));
  const QuantisedRows out = buffers.Quantised(rows, kExpertWidth);
  GemmArgs args{.weight = buffers.Weight(type, experts, n, k, Int4LayoutFor(fp8)),
                .x = fp8 ? Sm90Buffers::AsInput(buffers.Quantised(rows, k), rows)
                         : Sm90Buffers::AsInput(buffers.Activations(rows, k)),
                .grouping = Grouping::kRanges,
                .offsets = buffers.Copy(offsets),
                .rows_per_group = rows_each,
                .out = buffers.Activations(rows, n)};
  const std::vector<GemmArgs> copies = Copies(buffers, args);
  char name[112];
  std::snprintf(name, sizeof(name), "%s%s %ld experts of %ldx%ld, %ld rows each%s", NameOf(type),
                WithFp8(type, fp8), experts, n, k, rows_each, fp8 ? ", SwiGLU quantised" : "");
  const double moved = fp8 ? static_cast<double>(rows * (k + kExpertWidth)) + 2 * BytesOf(args.out)
                           : static_cast<double>(rows * 2 * k) + BytesOf(args.out);
  bench.Time({.name = name,
              .bytes = WeightBytes(args.weight) + moved,
              .flops = 2.0 * static_cast<double>(rows * n * k),
              .fp8 = fp8,
              .run =
                  [&](int64_t i, const Execution& e) {
                    Gemm(copies[static_cast<size_t>(i) % copies.size()], e);
                    if (fp8) SwiGluQuantise({args.out, nullptr, out}, e);
                  },
              .out = fp8 ? static_cast<const void*>(out.data) : args.out.data,
              .out_bytes = fp8 ? rows * kExpertWidth : static_cast<int64_t>(BytesOf(args.out))});
}

void Heads(Bench& bench, int64_t n, int64_t k, int64_t x_stride, int64_t m) {
  Sm90Buffers buffers;
  const int64_t heads = 128;
  const GemmArgs args{.weight = buffers.Weight(DType::kBF16, heads, n, k),
                      .x = Sm90Buffers::AsInput(buffers.Activations(m, heads * x_stride)),
                      .grouping = Grouping::kHeads,
                      .x_group_stride = x_stride,
                      .out = buffers.Activations(m, heads * n)};
  const std::vector<GemmArgs> copies = Copies(buffers, args);
  char name[96];
  std::snprintf(name, sizeof(name), "bf16 128 heads of %ldx%ld, %ld rows", n, k, m);
  bench.Time(
      {.name = name,
       .bytes = WeightBytes(args.weight) + static_cast<double>(m * heads * k * 2) + BytesOf(args.out),
       .flops = 2.0 * static_cast<double>(m * heads * n * k),
       .run = [&](int64_t i, const Execution& e) { Gemm(copies[static_cast<size_t>(i) % copies.size()], e); },
       .out = args.out.data,
       .out_bytes = static_cast<int64_t>(BytesOf(args.out))});
}

void Attention(Bench& bench, int64_t heads, int64_t batch, int64_t rows, int64_t context, bool fp8 = false) {
  Sm90Buffers buffers;
  const MlaArgs args = buffers.Attention(heads, batch, rows, context, fp8);
  char name[96];
  std::snprintf(name, sizeof(name), "mla%s %ld heads, %ld x %ld rows, context %ld (%ld parts)",
                fp8 ? " fp8" : "", heads, batch, rows, context, args.max_items);
  // A query row sees positions up to its own: on average half a chunk less than the context.
  const double seen =
      static_cast<double>(batch * rows) * (static_cast<double>(context) - static_cast<double>(rows - 1) / 2);
  bench.Time({.name = name,
              .bytes = static_cast<double>(batch * context) *
                           static_cast<double>(fp8 ? kFp8PageBytes / kPageTokens : (kLatent + kRope) * 2) +
                       BytesOf(args.q_latent) + BytesOf(args.out),
              .flops = 2.0 * seen * static_cast<double>(heads * (2 * kLatent + kRope)),
              .fp8 = fp8,
              .run = [&](int64_t, const Execution& e) { Mla(args, e); },
              .out = args.out.data,
              .out_bytes = static_cast<int64_t>(BytesOf(args.out))});
}

// The kernels that make fp8 cache entries and e4m3 queries.
void AttentionInputs(Bench& bench, int64_t heads, int64_t m) {
  Sm90Buffers buffers;
  constexpr int64_t kHead = 128 + kRope;
  const Matrix kv = buffers.Activations(m, kLatent + kRope), q = buffers.Activations(m, heads * kHead),
               latent = buffers.Activations(m, heads * kLatent);
  std::vector<int64_t> places(static_cast<size_t>(m));
  for (int64_t r = 0; r < m; ++r) places[static_cast<size_t>(r)] = r;
  uint8_t* const cache = static_cast<uint8_t*>(buffers.Fp8Cache((m + kPageTokens - 1) / kPageTokens));
  // The rotation is by angle zero, so that the queries are the same in every run.
  const MlaPrepareArgs prepare{.kv = kv,
                               .latent_dim = kLatent,
                               .norm_weight = buffers.Copy(std::vector<float>(kLatent, 1.0f)),
                               .eps = 1e-6f,
                               .q = q,
                               .heads = heads,
                               .q_head_stride = kHead,
                               .q_rope_offset = 128,
                               .positions = buffers.Copy(std::vector<int32_t>(static_cast<size_t>(m))),
                               .cos = buffers.Copy(std::vector<float>(kRope / 2, 1.0f)),
                               .sin = buffers.Copy(std::vector<float>(kRope / 2, 0.0f)),
                               .slots = buffers.Copy(places),
                               .cache = cache,
                               .cache_type = DType::kF8E4M3};
  char name[96];
  std::snprintf(name, sizeof(name), "mla fp8 entries and rotation, %ld heads, %ld rows", heads, m);
  bench.Time(
      {.name = name,
       .bytes = static_cast<double>(m * (kFp8PageBytes / kPageTokens + heads * kRope * 4)) + BytesOf(kv),
       .run = [&](int64_t, const Execution& e) { MlaPrepare(prepare, e); },
       .out = cache,
       .out_bytes = m * kFp8EntryBytes});
  const MlaQuantiseQueriesArgs quantise{.q_latent = latent,
                                        .q_rope = q,
                                        .q_rope_head_stride = kHead,
                                        .q_rope_offset = 128,
                                        .heads = heads,
                                        .latent = static_cast<fp8_e4m3*>(buffers.Bytes(m * heads * kLatent)),
                                        .rope = static_cast<bf16*>(buffers.Bytes(m * heads * kRope * 2)),
                                        .scales = static_cast<float*>(buffers.Bytes(m * heads * 4))};
  std::snprintf(name, sizeof(name), "mla fp8 queries, %ld heads, %ld rows", heads, m);
  bench.Time({.name = name,
              .bytes = BytesOf(latent) * 1.5 + static_cast<double>(m * heads * (kRope * 4 + 4)),
              .run = [&](int64_t, const Execution& e) { MlaQuantiseQueries(quantise, e); },
              .out = quantise.latent,
              .out_bytes = m * heads * kLatent});
}

// Attention of a chunk that ends at `context` over expanded keys; then the gathering and expansion of the
// keys.
void Prefill(Bench& bench, int64_t heads, int64_t rows, int64_t context) {
  Sm90Buffers buffers;
  const MlaPrefillSequence sequence{0, static_cast<int32_t>(rows),   static_cast<int32_t>(context - rows), 0,
                                    0, static_cast<int32_t>(context)};
  const std::vector<MlaPrefillItem> items = PlanMlaPrefill(&sequence, 1);
  const Matrix q = buffers.Activations(rows, heads * kHeadQuery),
               kv = buffers.Activations(context, heads * (kHeadKey + kHeadValue)),
               rope = buffers.Activations(context, kRope), latent = buffers.Activations(context, kLatent);
  const MlaPrefillArgs args{.q = q,
                            .kv = kv,
                            .rope = rope,
                            .heads = heads,
                            .scale = 0.1f,
                            .items = buffers.Copy(items),
                            .num_items = std::ssize(items),
                            .out = buffers.Activations(rows, heads * kHeadValue)};
  const double seen =
      static_cast<double>(rows) * (static_cast<double>(context) - static_cast<double>(rows - 1) / 2);
  char name[96];
  std::snprintf(name, sizeof(name), "mla expanded, %ld heads, %ld rows, context %ld", heads, rows, context);
  bench.Time({.name = name,
              .bytes = BytesOf(q) + BytesOf(kv) + BytesOf(rope) + BytesOf(args.out),
              .flops = 2.0 * seen * static_cast<double>(heads * (kHeadQuery + kHeadValue)),
              .run = [&](int64_t, const Execution& e) { MlaPrefill(args, e); },
              .out = args.out.data,
              .out_bytes = static_cast<int64_t>(BytesOf(args.out))});
  std::vector<BlockId> table(static_cast<size_t>(context / kPageTokens));
  for (size_t page = 0; page < table.size(); ++page) table[page] = static_cast<BlockId>(page);
  const MlaGatherArgs gather{.cache = buffers.Fp8Cache(context / kPageTokens),
                             .fp8 = true,
                             .block_table = buffers.Copy(table),
                             .tokens = context,
                             .latent = latent,
                             .rope = rope};
  GemmArgs expand{.weight = buffers.Weight(DType::kBF16, 1, kv.cols, kLatent),
                  .x = Sm90Buffers::AsInput(latent),
                  .out = kv};
  buffers.GiveWorkspace(expand);
  std::snprintf(name, sizeof(name), "mla fp8 entries gathered and expanded, %ld heads, %ld tokens", heads,
                context);
  bench.Time({.name = name,
              .bytes = static_cast<double>(context / kPageTokens * kFp8PageBytes) +
                       WeightBytes(expand.weight) + BytesOf(kv),
              .flops = 2.0 * static_cast<double>(context * kv.cols * kLatent),
              .run =
                  [&](int64_t, const Execution& e) {
                    MlaGather(gather, e);
                    Gemm(expand, e);
                  },
              .out = kv.data,
              .out_bytes = static_cast<int64_t>(BytesOf(kv))});
}

void Rows(Bench& bench, int64_t m) {
  Sm90Buffers buffers;
  const QuantisedRows out = buffers.Quantised(m, kHidden);
  const Matrix residual = buffers.Activations(m, kHidden), normed = buffers.Activations(m, kHidden);
  // Zeros, so that the residual is the same in every run.
  const Matrix x{buffers.Copy(std::vector<bf16>(static_cast<size_t>(m * kHidden))), DType::kBF16, m, kHidden,
                 kHidden};
  const float* const weight = buffers.Copy(std::vector<float>(kHidden, 1.0f));
  char name[96];
  std::snprintf(name, sizeof(name), "residual + norm + quantise, %ld rows of %ld", m, kHidden);
  bench.Time({.name = name,
              .bytes = 4 * BytesOf(x) + BytesOf(x) / 2,
              .run =
                  [&](int64_t, const Execution& e) {
                    NormQuantise({x, residual, weight, 1e-6f, normed, out}, e);
                  },
              .out = normed.data,
              .out_bytes = static_cast<int64_t>(BytesOf(normed))});
  const Matrix gate_up = buffers.Activations(m * 8, 2 * kExpertWidth);
  const QuantisedRows middle = buffers.Quantised(m * 8, kExpertWidth);
  std::snprintf(name, sizeof(name), "SwiGLU + quantise, %ld rows of %ld", m * 8, kExpertWidth);
  bench.Time({.name = name,
              .bytes = BytesOf(gate_up) * 1.25,
              .run =
                  [&](int64_t, const Execution& e) {
                    SwiGluQuantise({gate_up, nullptr, middle}, e);
                  },
              .out = middle.data,
              .out_bytes = m * 8 * kExpertWidth});
}

void Routing(Bench& bench, int64_t m) {
  Sm90Buffers buffers;
  constexpr int64_t kExperts = 256, kTopK = 8;
  std::vector<float> logits(static_cast<size_t>(m * kExperts));
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  for (float& logit : logits) logit = normal(random);
  int32_t* const ids = buffers.Copy(std::vector<int32_t>(static_cast<size_t>(m * kTopK)));
  float* const weights = buffers.Copy(std::vector<float>(static_cast<size_t>(m * kTopK)));
  const GateArgs gate{.logits = buffers.Copy(logits),
                      .bias = buffers.Copy(std::vector<float>(kExperts, 0.1f)),
                      .m = m,
                      .experts = kExperts,
                      .n_group = 8,
                      .topk_group = 4,
                      .top_k = kTopK,
                      .routed_scaling_factor = 2.5f,
                      .ids = ids,
                      .weights = weights};
  char name[96];
  std::snprintf(name, sizeof(name), "gate of 256 experts, %ld rows", m);
  bench.Time({.name = name,
              .bytes = static_cast<double>(m * (kExperts * 4 + kTopK * 8)),
              .run = [&](int64_t, const Execution& e) { Gate(gate, e); },
              .out = weights,
              .out_bytes = m * kTopK * 4});
  int32_t* const pairs = buffers.Copy(std::vector<int32_t>(static_cast<size_t>(m * kTopK), -1));
  const GroupByExpertArgs group{
      .ids = ids,
      .m = m,
      .top_k = kTopK,
      .experts = kExperts,
      .offsets = buffers.Copy(std::vector<int32_t>(kExperts + 1)),
      .row_index = buffers.Copy(std::vector<int32_t>(static_cast<size_t>(m * kTopK))),
      .pair_to_row = pairs};
  std::snprintf(name, sizeof(name), "rows grouped by 256 experts, %ld rows", m);
  bench.Time({.name = name,
              .bytes = static_cast<double>(m * kTopK * 12),
              .run = [&](int64_t, const Execution& e) { GroupByExpert(group, e); },
              .out = pairs,
              .out_bytes = m * kTopK * 4});
  const Matrix y = buffers.Activations(m * kTopK, kHidden), out = buffers.Activations(m, kHidden);
  std::snprintf(name, sizeof(name), "combine of 8, %ld rows", m);
  bench.Time({.name = name,
              .bytes = BytesOf(y) + BytesOf(out),
              .run =
                  [&](int64_t, const Execution& e) {
                    Combine({y, pairs, weights, kTopK, {}, out}, e);
                  },
              .out = out.data,
              .out_bytes = static_cast<int64_t>(BytesOf(out))});
}

// The dispatch of R1's rows to 8 ranks. Each row goes to the 4 ranks of its choices.
void Dispatch(Bench& bench, int64_t m) {
  Sm90Buffers buffers;
  constexpr int64_t kRanks = 8, kExperts = 32, kTopK = 8, kRanksOfToken = 4;
  std::mt19937 random(6);
  std::vector<int32_t> ids;
  for (int64_t t = 0; t < m; ++t) {
    for (int64_t c = 0; c < kTopK; ++c)
      ids.push_back(static_cast<int32_t>((t + c % kRanksOfToken) % kRanks * kExperts + random() % kExperts));
  }
  const auto count = [&](int64_t values) { return static_cast<size_t>(values); };
  const PlanDispatchArgs plan{.ids = buffers.Copy(ids),
                              .m = m,
                              .top_k = kTopK,
                              .ranks = kRanks,
                              .group_experts = kExperts,
                              .fanout = kTopK,
                              .index = buffers.Copy(std::vector<int32_t>(count(m * kTopK))),
                              .rows_to = buffers.Copy(std::vector<int64_t>(count(kRanks)))};
  char name[96];
  std::snprintf(name, sizeof(name), "dispatch planned for 8 ranks, %ld rows", m);
  bench.Time({.name = name,
              .bytes = static_cast<double>(m * kTopK * 8),
              .run = [&](int64_t, const Execution& e) { PlanDispatch(plan, e); },
              .out = plan.index,
              .out_bytes = m * kTopK * 4});
  for (const bool rounded : {false, true}) {
    const int64_t activations = rounded ? RoundedRowLayoutOf(kHidden).bytes : kHidden * 2;
    const int64_t row_bytes = RoundUp(activations + kTopK * 8, 64);
    const int64_t rows_bytes = RoundedRowsLayoutOf(m, kHidden).bytes;
    PackDispatchArgs pack{.x = buffers.Activations(m, kHidden),
                          .ids = plan.ids,
                          .weights = buffers.Copy(std::vector<float>(count(m * kTopK))),
                          .top_k = kTopK,
                          .index = plan.index,
                          .fanout = kTopK,
                          .send = buffers.Bytes(m * kRanksOfToken * row_bytes),
                          .row_bytes = row_bytes};
    if (rounded) {
      const auto* const rows = buffers.Copy(std::vector<std::byte>(count(rows_bytes)));
      pack.rounded = {.memory = rows, .rows = m};
    }
    std::snprintf(name, sizeof(name), "dispatch packed in %s, %ld rows to 4 ranks each",
                  rounded ? "e4m3" : "bf16", m);
    bench.Time({.name = name,
                .bytes = static_cast<double>(m * (kRanksOfToken + 1) * row_bytes),
                .run = [&](int64_t, const Execution& e) { PackDispatch(pack, e); },
                .out = pack.send,
                .out_bytes = m * kRanksOfToken * row_bytes});
  }
}

int Main() {
  cudaDeviceProp card;
  Check(cudaGetDeviceProperties(&card, 0), "no card");
  if (card.major != 9) {
    std::fprintf(stderr, "%s has no sm_90a: its kernels were not timed\n", card.name);
    return 69;
  }
  Bench bench{MeasureCard()};
  for (const auto& [n, k] : {std::pair<int64_t, int64_t>{2112, 7168},
                             {24576, 1536},
                             {32768, 512},
                             {7168, 16384},
                             {4096, 7168},
                             {7168, 2048}}) {
    for (const int64_t m : {1, 16, 64, 128, 4096}) Dense(bench, DType::kF8E4M3, true, n, k, m);
  }
  for (const bool fp8 : {false, true}) {
    for (const int64_t m : {1, 64, 4096}) Dense(bench, DType::kInt4G128, fp8, 7168, 2048, m);
  }
  for (const int64_t m : {1, 64, 128}) Dense(bench, DType::kBF16, false, 129280, 7168, m);
  for (const int64_t m : {1, 64, 4096}) Dense(bench, DType::kBF16, false, 256, 7168, m);
  for (const DType type : {DType::kF8E4M3, DType::kInt4G128}) {
    for (const bool fp8 : {false, true}) {
      if (type == DType::kF8E4M3 && !fp8) continue;
      for (const int64_t rows : {1, 16, 32, 48, 512}) Experts(bench, type, fp8, 8, rows);
      for (const int64_t rows : {1, 8, 64}) Experts(bench, type, fp8, 32, rows);
    }
  }
  for (const int64_t m : {1, 64}) {
    Heads(bench, 512, 128, 192, m);
    Heads(bench, 128, 512, 512, m);
  }
  for (const int64_t context : {1024, 4096, 32768}) {
    for (const int64_t batch : {1, 8, 32, 128}) {
      if (batch * context <= 32 * 32768) Attention(bench, 128, batch, 1, context);
    }
  }
  for (const int64_t batch : {1, 32, 128}) Attention(bench, 16, batch, 1, 4096);
  Attention(bench, 128, 32, 2, 4096);
  Attention(bench, 16, 32, 4, 4096);
  // Targets: 900 TFLOPS at 128 heads, 4.2 TB/s at 16 heads.
  for (const int64_t heads : {128, 16}) {
    for (const int64_t batch : {1, 32, 128}) Attention(bench, heads, batch, 1, 4096, true);
    Attention(bench, heads, 32, 1, 32768, true);
    for (const int64_t m : {1, 128}) AttentionInputs(bench, heads, m);
  }
  Attention(bench, 128, 32, 2, 4096, true);
  Attention(bench, 16, 32, 4, 4096, true);
  Attention(bench, 128, 1, 4096, 4096);
  Prefill(bench, 128, 4096, 4096);
  Prefill(bench, 16, 2048, 8192);
  for (const int64_t m : {1, 64, 4096}) Rows(bench, m);
  for (const int64_t m : {1, 64, 4096}) Routing(bench, m);
  for (const int64_t m : {1, 128, 4096}) Dispatch(bench, m);
  std::printf("%d passed, %d failed (the same bits twice)\n", bench.passed, bench.failed);
  return bench.failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace deeprack::bench

int main() { return deeprack::bench::Main(); }
