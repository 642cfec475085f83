#include "bench/gpu/full_rank.h"

#include <cuda_runtime.h>

#include <algorithm>
#include <random>

#include "kernels/cuda/sm90/mla_prepare.h"
#include "kernels/cuda/sm90/route.h"

namespace deeprack::bench {

using namespace kernels;
using namespace kernels::sm90;

namespace {

constexpr int64_t kHidden = 7168, kLayers = 61, kDenseLayers = 3, kDenseWidth = 18432, kExpertWidth = 2048,
                  kExperts = 256;
constexpr int64_t kTopK = 8, kGroups = 8, kGroupsChosen = 4, kHeads = 128, kQRank = 1536, kNope = 128,
                  kVocabulary = 129280;
constexpr int64_t kQWidth = kHeads * (kNope + kRope);
constexpr int64_t kDownWidth = kQRank + kLatent + kRope;  // q_a and kv_a side by side

struct Attention {
  RowWeight down, q_up, key_up, value_up, out;
};
struct Experts {
  RowWeight router, gate_up, down, shared_gate_up, shared_down;
};

}  // namespace

const char* NameOf(Part part) {
  constexpr const char* kNames[] = {"norms and quantisation",
                                    "attention projections",
                                    "heads into and out of the latent",
                                    "attention",
                                    "router, gate, grouping",
                                    "dispatch and combine copies",
                                    "experts",
                                    "shared expert and dense layers",
                                    "logits"};
  return kNames[static_cast<int>(part)];
}

struct FullRank::State {
  RankShape shape;
  Sm90Buffers buffers;
  int64_t local_experts = 0;
  int64_t arrived = 0;  // rows that this rank's experts receive from all ranks
  int64_t pairs = 0;    // of those with an expert here
  std::vector<Attention> attention;
  std::vector<Experts> experts;
  RowWeight dense_gate_up, dense_down, head;
  double attention_bytes = 0, expert_bytes = 0;

  Matrix x, residual, normed, down, q, q_latent, attended, values, logits, arrived_ids, mixed, gathered_out,
      returned, shared, head_logits;
  QuantisedRows hidden_q, q_rank_q, values_q, sent, arrived_q, grouped_q, expert_q, shared_q, dense_q;
  const float* norm = nullptr;
  float *gate_weights = nullptr, *router_logits = nullptr, *arrived_weights = nullptr, *ones = nullptr;
  const float *bias = nullptr, *cos = nullptr, *sin = nullptr;
  int32_t *gate_ids = nullptr, *offsets = nullptr, *row_index = nullptr, *pair_to_row = nullptr;
  const int32_t *ids = nullptr, *positions = nullptr, *owner_pairs = nullptr;
  const int64_t* slots = nullptr;
  MlaArgs mla;
  void* partials = nullptr;
  int* arrivals = nullptr;

  void Product(const RowWeight& weight, const Rows& input, const Matrix& out, const Execution& e) const {
    Gemm({.weight = weight, .x = input, .out = out, .partials = partials, .arrivals = arrivals}, e);
  }
  void GateUp(const RowWeight& weight, const Rows& input, const QuantisedRows& out,
              const Execution& e) const {
    Gemm({.weight = weight,
          .x = input,
          .swiglu = true,
          .partials = partials,
          .arrivals = arrivals,
          .quantised = out},
         e);
  }
  Rows In(const QuantisedRows& rows) const { return Sm90Buffers::AsInput(rows, shape.tokens()); }
};

FullRank::FullRank(const RankShape& shape, int64_t bytes) : state_(std::make_unique<State>()) {
  State& s = *state_;
  Sm90Buffers& b = s.buffers;
  s.shape = shape;
  const int64_t m = shape.tokens();
  s.local_experts = kExperts / shape.ranks;
  // A token's eight experts are in four groups of 32. With 8 ranks a group is a rank; with 32 a group is four
  // of them.
  const int64_t ranks_of_token = shape.ranks <= kGroups ? kGroupsChosen * shape.ranks / kGroups : 7;
  s.arrived = std::max<int64_t>(1, m * ranks_of_token);
  s.pairs = std::max<int64_t>(1, m * kTopK);

  const auto fp8 = [&](int64_t groups, int64_t n, int64_t k) {
    return b.Weight(DType::kF8E4M3, groups, n, k);
  };
  int64_t left = bytes;
  do {
    s.attention.push_back({fp8(1, kDownWidth, kHidden), fp8(1, kQWidth, kQRank),
                           b.Weight(DType::kBF16, kHeads, kLatent, kNope),
                           b.Weight(DType::kBF16, kHeads, kNope, kLatent), fp8(1, kHidden, kHeads * kNope)});
    s.experts.push_back({b.Weight(DType::kBF16, 1, kExperts, kHidden),
                         fp8(s.local_experts, 2 * kExpertWidth, kHidden),
                         fp8(s.local_experts, kHidden, kExpertWidth), fp8(1, 2 * kExpertWidth, kHidden),
                         fp8(1, kHidden, kExpertWidth)});
    const Attention& a = s.attention.back();
    const Experts& x = s.experts.back();
    s.attention_bytes = WeightBytes(a.down) + WeightBytes(a.q_up) + WeightBytes(a.key_up) +
                        WeightBytes(a.value_up) + WeightBytes(a.out);
    s.expert_bytes = WeightBytes(x.router) + WeightBytes(x.shared_gate_up) + WeightBytes(x.shared_down);
    left -= static_cast<int64_t>(s.attention_bytes + s.expert_bytes + WeightBytes(x.gate_up) +
                                 WeightBytes(x.down));
    // Experts that no row chooses are not read.
    const double read = std::min(1.0, static_cast<double>(s.pairs) / static_cast<double>(s.local_experts));
    s.expert_bytes += read * (WeightBytes(x.gate_up) + WeightBytes(x.down));
  } while (static_cast<int64_t>(s.experts.size()) < kLayers && left > (int64_t{3} << 30));
  s.dense_gate_up = fp8(1, 2 * kDenseWidth, kHidden);
  s.dense_down = fp8(1, kHidden, kDenseWidth);
  s.head = b.Weight(DType::kBF16, 1, kVocabulary, kHidden);

  s.x = {b.Copy(std::vector<bf16>(static_cast<size_t>(m * kHidden))), DType::kBF16, m, kHidden, kHidden};
  for (Matrix* matrix : {&s.residual, &s.normed, &s.shared, &s.mixed}) *matrix = b.Activations(m, kHidden);
  s.down = b.Activations(m, kDownWidth);
  s.q = b.Activations(m, kQWidth);
  s.values = b.Activations(m, kHeads * kNope);
  s.logits = b.Activations(m, kExperts, DType::kF32);
  s.gathered_out = b.Activations(s.pairs, kHidden);
  s.returned = b.Activations(s.arrived, kHidden);
  s.attended = b.Activations(s.arrived, kHidden);  // what the experts' rank sends back
  s.head_logits = b.Activations(shape.sequences, kVocabulary, DType::kF32);
  s.hidden_q = b.Quantised(m, kHidden);
  s.q_rank_q = b.Quantised(m, kQRank);
  s.values_q = b.Quantised(m, kHeads * kNope);
  s.sent = b.Quantised(s.arrived, kHidden);
  s.arrived_q = b.Quantised(s.arrived, kHidden);
  s.grouped_q = b.Quantised(s.pairs, kHidden);
  s.expert_q = b.Quantised(s.pairs, kExpertWidth);
  s.shared_q = b.Quantised(m, kExpertWidth);
  s.dense_q = b.Quantised(m, kDenseWidth);

  const auto floats = [&](int64_t count, float value) {
    return b.Copy(std::vector<float>(static_cast<size_t>(count), value));
  };
  s.norm = floats(kHidden, 1.0f);
  s.bias = floats(kExperts, 0.1f);
  s.cos = floats(shape.context * kRope / 2, 0.6f);
  s.sin = floats(shape.context * kRope / 2, 0.8f);
  s.gate_weights = floats(m * kTopK, 0.1f);
  s.arrived_weights = floats(s.arrived * kTopK, 0.1f);
  s.ones = floats(s.arrived, 1.0f);
  s.gate_ids = b.Copy(std::vector<int32_t>(static_cast<size_t>(m * kTopK)));
  s.offsets = b.Copy(std::vector<int32_t>(static_cast<size_t>(s.local_experts + 1)));
  s.row_index = b.Copy(std::vector<int32_t>(static_cast<size_t>(s.pairs)));
  s.pair_to_row = b.Copy(std::vector<int32_t>(static_cast<size_t>(s.arrived * kTopK), -1));
  // The pairs that have an expert here are spread over the rows that arrived, on experts at random; all other
  // choices lie elsewhere.
  std::vector<int32_t> ids(static_cast<size_t>(s.arrived * kTopK), static_cast<int32_t>(kExperts));
  std::mt19937 random(7);
  std::uniform_int_distribution<int32_t> expert(0, static_cast<int32_t>(s.local_experts) - 1);
  for (int64_t p = 0; p < s.pairs; ++p)
    ids[static_cast<size_t>(p % s.arrived * kTopK + p / s.arrived % kTopK)] = expert(random);
  s.ids = b.Copy(ids);
  std::vector<int32_t> positions, owner_pairs;
  std::vector<int64_t> slots;
  for (int64_t t = 0; t < m; ++t) {
    positions.push_back(static_cast<int32_t>(shape.context - shape.rows + t % shape.rows));
    slots.push_back(t / shape.rows * ((shape.context + kPageTokens - 1) / kPageTokens * kPageTokens) +
                    positions.back());
    for (int64_t r = 0; r < ranks_of_token; ++r)
      owner_pairs.push_back(static_cast<int32_t>(std::min(t * ranks_of_token + r, s.arrived - 1)));
  }
  s.positions = b.Copy(positions);
  s.owner_pairs = b.Copy(owner_pairs);
  s.slots = b.Copy(slots);
  s.mla = b.Attention(kHeads, shape.sequences, shape.rows, shape.context);
  s.mla.q_rope = s.q;
  s.q_latent = s.mla.q_latent;

  int64_t partial_bytes = 16, arrival_bytes = 16;
  const auto room = [&](const RowWeight& weight, int64_t rows) {
    for (const bool quantises : {false, true}) {
      const GemmConfig config = ChooseGemm(weight.groups, weight.n, weight.k, rows, quantises);
      partial_bytes = std::max(partial_bytes, PartialBytes(config, weight.n, rows));
      arrival_bytes = std::max(arrival_bytes, ArrivalBytes(config, weight.n, rows));
    }
  };
  for (const RowWeight* weight :
       {&s.attention[0].down, &s.attention[0].q_up, &s.attention[0].out, &s.experts[0].router,
        &s.experts[0].shared_gate_up, &s.experts[0].shared_down, &s.dense_gate_up, &s.dense_down}) {
    room(*weight, m);
  }
  room(s.head, shape.sequences);
  s.partials = b.Bytes(partial_bytes);
  s.arrivals = b.Copy(std::vector<int>(static_cast<size_t>(arrival_bytes) / sizeof(int), 0));
}

FullRank::~FullRank() = default;

int64_t FullRank::layers_in_memory() const { return static_cast<int64_t>(state_->experts.size()); }

double FullRank::weight_bytes_of_a_step() const {
  const State& s = *state_;
  return static_cast<double>(kLayers) * s.attention_bytes +
         static_cast<double>(kLayers - kDenseLayers) * s.expert_bytes +
         static_cast<double>(kDenseLayers) * (WeightBytes(s.dense_gate_up) + WeightBytes(s.dense_down)) +
         WeightBytes(s.head);
}

void FullRank::Step(const Execution& e, Part only) const {
  const State& s = *state_;
  const int64_t m = s.shape.tokens();
  const auto runs = [&](Part part) { return only == Part::kCount || only == part; };
  const auto copy = [&](void* to, const void* from, int64_t bytes) {
    Check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToDevice,
                          static_cast<cudaStream_t>(e.stream)),
          "copy");
  };
  for (int64_t layer = 0; layer < kLayers; ++layer) {
    const Attention& a = s.attention[static_cast<size_t>(layer) % s.attention.size()];
    const Experts& x = s.experts[static_cast<size_t>(layer) % s.experts.size()];
    const Matrix q_rank{s.down.data, DType::kBF16, m, kQRank, kDownWidth};
    const Matrix kv{s.down.row<bf16>(0) + kQRank, DType::kBF16, m, kLatent + kRope, kDownWidth};

    if (runs(Part::kNorms)) NormQuantise({s.x, s.residual, s.norm, 1e-6f, {}, s.hidden_q}, e);
    if (runs(Part::kProjections)) s.Product(a.down, s.In(s.hidden_q), s.down, e);
    if (runs(Part::kNorms)) NormQuantise({{}, q_rank, s.norm, 1e-6f, {}, s.q_rank_q}, e);
    if (runs(Part::kProjections)) s.Product(a.q_up, s.In(s.q_rank_q), s.q, e);
    if (runs(Part::kAttention)) {
      MlaPrepare({.kv = kv,
                  .latent_dim = kLatent,
                  .norm_weight = s.norm,
                  .eps = 1e-6f,
                  .q = s.q,
                  .heads = kHeads,
                  .q_head_stride = kNope + kRope,
                  .q_rope_offset = kNope,
                  .positions = s.positions,
                  .cos = s.cos,
                  .sin = s.sin,
                  .slots = s.slots,
                  .cache = const_cast<void*>(s.mla.cache)},
                 e);
    }
    if (runs(Part::kHeads)) {
      Gemm({.weight = a.key_up,
            .x = Sm90Buffers::AsInput(s.q),
            .grouping = Grouping::kHeads,
            .x_group_stride = kNope + kRope,
            .out = s.q_latent},
           e);
    }
    if (runs(Part::kAttention)) Mla(s.mla, e);
    if (runs(Part::kHeads)) {
      Gemm({.weight = a.value_up,
            .x = Sm90Buffers::AsInput(s.mla.out),
            .grouping = Grouping::kHeads,
            .x_group_stride = kLatent,
            .out = s.values},
           e);
    }
    if (runs(Part::kNorms)) Quantise({s.values, nullptr, m, {}, s.values_q}, e);
    if (runs(Part::kProjections)) s.Product(a.out, s.In(s.values_q), s.x, e);
    if (runs(Part::kNorms)) NormQuantise({s.x, s.residual, s.norm, 1e-6f, s.normed, s.hidden_q}, e);

    if (layer < kDenseLayers) {
      if (!runs(Part::kShared)) continue;
      s.GateUp(s.dense_gate_up, s.In(s.hidden_q), s.dense_q, e);
      s.Product(s.dense_down, s.In(s.dense_q), s.x, e);
      continue;
    }
    if (runs(Part::kRouting)) {
      s.Product(x.router, Sm90Buffers::AsInput(s.normed), s.logits, e);
      Gate({.logits = static_cast<const float*>(s.logits.data),
            .bias = s.bias,
            .m = m,
            .experts = kExperts,
            .n_group = kGroups,
            .topk_group = kGroupsChosen,
            .top_k = kTopK,
            .routed_scaling_factor = 2.5f,
            .ids = s.gate_ids,
            .weights = s.gate_weights},
           e);
    }
    if (runs(Part::kExchange)) {
      copy(s.arrived_q.data, s.sent.data, s.arrived * kHidden);
      copy(s.arrived_q.scales, s.sent.scales, s.arrived_q.scale_stride * ScaleBlocks(kHidden) * 4);
    }
    if (runs(Part::kShared)) {
      s.GateUp(x.shared_gate_up, s.In(s.hidden_q), s.shared_q, e);
      s.Product(x.shared_down, s.In(s.shared_q), s.shared, e);
    }
    if (runs(Part::kRouting)) {
      GroupRows({.ids = s.ids,
                 .m = s.arrived,
                 .top_k = kTopK,
                 .experts = s.local_experts,
                 .offsets = s.offsets,
                 .row_index = s.row_index,
                 .pair_to_row = s.pair_to_row},
                e);
      GatherQuantised(
          {s.arrived_q, kHidden, s.row_index, s.pairs, {s.offsets + s.local_experts, 0}, s.grouped_q}, e);
    }
    if (runs(Part::kExperts)) {
      const int64_t each = std::max<int64_t>(1, s.pairs / s.local_experts);
      Gemm({.weight = x.gate_up,
            .x = Sm90Buffers::AsInput(s.grouped_q, s.pairs),
            .grouping = Grouping::kRanges,
            .offsets = s.offsets,
            .rows_per_group = each,
            .swiglu = true,
            .quantised = s.expert_q},
           e);
      Gemm({.weight = x.down,
            .x = Sm90Buffers::AsInput(s.expert_q, s.pairs),
            .grouping = Grouping::kRanges,
            .offsets = s.offsets,
            .rows_per_group = each,
            .out = s.gathered_out},
           e);
    }
    if (runs(Part::kRouting))
      Combine({s.gathered_out, s.pair_to_row, s.arrived_weights, kTopK, {}, s.attended}, e);
    if (runs(Part::kExchange)) copy(s.returned.data, s.attended.data, s.arrived * kHidden * 2);
    if (runs(Part::kRouting)) Combine({s.returned, s.owner_pairs, s.ones, s.arrived / m, s.shared, s.x}, e);
  }
  if (runs(Part::kHead)) {
    NormQuantise({s.x, s.residual, s.norm, 1e-6f, s.normed, s.hidden_q}, e);
    Rows last = Sm90Buffers::AsInput(s.normed);  // one row of each sequence
    last.rows = s.shape.sequences;
    last.stride = s.shape.rows * kHidden;
    s.Product(s.head, last, s.head_logits, e);
  }
}

}  // namespace deeprack::bench
